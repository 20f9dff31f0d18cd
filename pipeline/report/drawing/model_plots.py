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
from pipeline.report.drawing.style import (
    BLUE,
    BROWN,
    GOLD,
    GREEN,
    INK,
    KIND_COLOURS,
    KIND_MARKERS,
    MUTED,
    PURPLE,
    SKY,
    VERMILION,
)
from pipeline.report.run_records import RunRecords
from pipeline.report.words import counted, deviation, rank_agreement
from pipeline.run.records.progress import MetricsLine
from pipeline.run.records.results import ModelResult, Results

_LINES = (BLUE, VERMILION, GREEN, PURPLE, GOLD, SKY, BROWN, INK, MUTED)
"""A colour a model; more models than that begin again with thinner lines."""
_STYLES = ("solid", "dashed", "dotted", "dashdot")
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
    by_stage: dict[str, list[MetricsLine]] = {}
    for line in run.metrics:
        by_stage.setdefault(line.stage, []).append(line)
    models = _models(run, list(by_stage))
    supernet = {"supernet": ["supernet"]} if "supernet" in by_stage else {}
    groups = [(title, one) for title, one in (("supernet", supernet), ("models trained to the end", models)) if one]
    with report_style():
        figure = new_figure(10.2, 3.3)
        panels = figure.subplots(1, max(len(groups), 1), squeeze=False)[0]
        for axes, (title, group) in zip(panels, groups, strict=False):
            for place, (name, stages) in enumerate(group.items()):
                for seed, stage in enumerate(stages):
                    _curve(axes, by_stage[stage], "_" if seed else name, _look(place, seed))
            axes.set_title(title)
            axes.set(xlabel="rows", ylabel="log loss")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.locator_params(axis="x", nbins=5)
            plain_numbers(axes.yaxis)
            if len(group) > 1:
                axes.legend(ncols=2)
        svg = inline_svg(figure, "training", "Training", f"Stages: {', '.join(by_stage)}", {})
    caption = f"Training log loss, the mean of neighbouring steps where there are more than {_CURVE_POINTS}."
    seeds = max(map(len, models.values()), default=1)
    caption += f" A colour a model; its {seeds} seeds: {', '.join(_STYLES[:seeds])}." if seeds > 1 else ""
    others = len(by_stage) - len(supernet) - sum(map(len, models.values()))
    caption += f" Not drawn: {counted(others, 'training')} of other stages." if others else ""
    return Picture(svg, "Training", caption)


def _models(run: RunRecords, stages: Sequence[str]) -> dict[str, list[str]]:
    """The stages, one a seed, of each model trained to the end, in the order of results.json.

    By title, or by kind and name while results.json is absent.
    """
    found = {model.title: [stage for stage in model.stages if stage in stages] for model in _retrained(run)}
    known = {stage for own in found.values() for stage in own}
    for stage in stages:
        if stage.startswith("retrain/") and stage not in known:
            found.setdefault(stage.removeprefix("retrain/").rpartition("/seed_")[0], []).append(stage)
    return {title: own for title, own in found.items() if own}


def _retrained(run: RunRecords) -> tuple[ModelResult, ...]:
    return run.results.models if run.results else ()


def _look(place: int, seed: int) -> dict[str, Any]:
    """How the curve of a model's seed is drawn."""
    width = 1.4 if place < len(_LINES) else 0.7
    return {"color": _LINES[place % len(_LINES)], "linestyle": _STYLES[seed % len(_STYLES)], "linewidth": width}


def _curve(axes: Axes, lines: Sequence[MetricsLine], label: str, look: dict[str, Any]) -> None:
    points = numpy.array([(line.rows, line.train_log_loss) for line in lines], dtype=float)
    pieces = numpy.array_split(points, min(len(points), _CURVE_POINTS))
    rows, losses = numpy.array([piece.mean(axis=0) for piece in pieces]).T
    marker = "|" if len(rows) < 10 else None  # a single step makes no line
    axes.plot(rows, losses, marker=marker, label=label, **look)
    # The first steps fall from far above: the frame is for what follows them.
    tail = losses[len(losses) // 6 :]
    low, high = axes.get_ylim() if not axes.get_autoscaley_on() else (tail.min(), tail.max())
    room = 0.2 * (tail.max() - tail.min()) or 0.01
    axes.set_ylim(min(low, tail.min() - room), max(high, tail.max() + room))
