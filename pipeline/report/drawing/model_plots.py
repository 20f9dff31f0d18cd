"""Plots of the models trained from scratch: supernet score against retrained log loss, and training."""

from collections.abc import Sequence
from typing import Any

import numpy
from matplotlib.axes import Axes

from pipeline.report.drawing.figure import (
    Picture,
    inline_svg,
    label_points,
    new_figure,
    plain_numbers,
    report_style,
    settle,
)
from pipeline.report.drawing.style import BLUE, GOLD, GREEN, INK, KIND_COLOURS, KIND_MARKERS, MUTED, PURPLE, VERMILION
from pipeline.report.run_records import RunRecords
from pipeline.report.words import deviation, rank_agreement
from pipeline.run.records.progress import MetricsLine
from pipeline.run.records.results import ModelResult, Results

_LINES = (BLUE, VERMILION, GREEN, PURPLE, GOLD, INK, MUTED)
_STYLES = ("-", "--", ":", "-.")
_STYLE_NAMES = ("solid", "dashed", "dotted", "dash-dotted")
_CURVE_POINTS = 60


def scored_models(results: Results) -> list[ModelResult]:
    """The retrained models that the supernet had scored."""
    return [model for model in results.models if model.supernet_score is not None]


def score_against_retrained(results: Results) -> Picture:
    """Supernet score against the retrained test log loss, with rank correlations."""
    models = scored_models(results)
    scores = [model.supernet_score for model in models if model.supernet_score is not None]
    losses = [model.test.log_loss for model in models]
    hovers = {
        f"scored-{model.kind}-{model.name}": f"{model.title}: {score:.5f} → {model.test.log_loss:.5f}"
        for model, score in zip(models, scores, strict=True)
    }
    with report_style():
        figure = new_figure(4.1, 4.3)
        axes = figure.add_subplot()
        for model, score in zip(models, scores, strict=True):
            best, colour = model is results.best_model, KIND_COLOURS[model.kind]
            axes.errorbar(score, model.test.log_loss, deviation(model), color=colour, elinewidth=1.2, zorder=3)
            axes.plot(
                score,
                model.test.log_loss,
                "*" if best else KIND_MARKERS[model.kind],
                ms=13 if best else 7,
                color=colour,
                mec="white",
                mew=0.8,
                gid=f"scored-{model.kind}-{model.name}",
                zorder=4,
            )
        axes.margins(0.22)
        axes.set(xlabel="supernet score (validation log loss)", ylabel="test log loss after retraining")
        axes.locator_params(axis="x", nbins=4)
        plain_numbers(axes.xaxis)
        plain_numbers(axes.yaxis)
        settle(figure)
        label_points(axes, [(x, y, model.title, INK) for model, x, y in zip(models, scores, losses, strict=True)])
        title = "Score against retrained loss"
        agreement = rank_agreement(scores, losses)
        svg = inline_svg(figure, "ranking", title, agreement, hovers)
    caption = "Means over the seeds. A rising line of dots would be a perfect ranking."
    return Picture(svg, title, f"{caption} {agreement}")


def training_curves(run: RunRecords) -> Picture:
    """Training log loss over rows, the supernet beside the models trained to the end: a colour a model, seeds by style.

    Trainings of any other stage are counted in the caption.
    """
    stages = list(dict.fromkeys(line.stage for line in run.metrics))
    models: dict[str, list[str]] = {}  # a model's stages, one a seed, by what they have in common
    for stage in stages:
        if stage.startswith("retrain/"):
            models.setdefault(stage.rpartition("/seed_")[0], []).append(stage)
    shown = {
        "supernet": {"supernet": ["supernet"]} if "supernet" in stages else {},
        "models trained to the end": models,
    }
    groups = [(title, group) for title, group in shown.items() if group]
    seeds = max((len(own) for own in models.values()), default=1)
    others = len(stages) - sum(len(own) for _, group in groups for own in group.values())
    with report_style():
        figure = new_figure(10.2, 3.3)
        for axes, (title, group) in zip(
            figure.subplots(1, max(len(groups), 1), squeeze=False)[0], groups, strict=False
        ):
            for place, (name, own) in enumerate(group.items()):
                for seed, stage in enumerate(own):
                    lines = [line for line in run.metrics if line.stage == stage]
                    look: dict[str, Any] = {
                        "color": _LINES[place % len(_LINES)],
                        "linestyle": _STYLES[seed % len(_STYLES)],
                    }
                    _curve(axes, lines, "_" if seed else _title(run.results, name), look)
            axes.set_title(title)
            axes.set(xlabel="rows", ylabel="log loss")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.locator_params(axis="x", nbins=5)
            plain_numbers(axes.yaxis)
            if len(group) > 1:
                axes.legend(ncols=2)
        svg = inline_svg(figure, "training", "Training", f"Stages: {', '.join(stages)}", {})
    caption = f"Training log loss, the mean of neighbouring steps where there are more than {_CURVE_POINTS}."
    caption += f" A colour a model; its {seeds} seeds: {', '.join(_STYLE_NAMES[:seeds])}." if seeds > 1 else ""
    caption += f" Not drawn: {others} trainings of other stages." if others else ""
    return Picture(svg, "Training", caption)


def _title(results: Results | None, name: str) -> str:
    """The title of the model whose stages begin with `name`; its own name while results.json is absent."""
    if results is not None:
        for model in results.models:
            if model.stages[0].rpartition("/seed_")[0] == name:
                return model.title
    return name.split("/")[-1]


def _curve(axes: Axes, lines: Sequence[MetricsLine], label: str, look: dict[str, Any]) -> None:
    points = numpy.array([(line.rows, line.train_log_loss) for line in lines], dtype=float)
    pieces = numpy.array_split(points, min(len(points), _CURVE_POINTS))
    rows, losses = numpy.array([piece.mean(axis=0) for piece in pieces]).T
    marker = "|" if len(rows) < 10 else None  # a single step makes no line
    axes.plot(rows, losses, marker=marker, linewidth=1.4, label=label, **look)
    # The first steps fall from far above: the frame is for what follows them.
    tail = losses[len(losses) // 6 :]
    low, high = axes.get_ylim() if not axes.get_autoscaley_on() else (tail.min(), tail.max())
    room = 0.2 * (tail.max() - tail.min()) or 0.01
    axes.set_ylim(min(low, tail.min() - room), max(high, tail.max() + room))
