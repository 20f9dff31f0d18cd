"""Plots of the search: its progress on the supernet's weights, and log loss over cost."""

from collections.abc import Sequence

import numpy
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.report.drawing.figure import (
    MANY_POINTS,
    Picture,
    inline_svg,
    label_points,
    log_axis,
    new_figure,
    plain_numbers,
    report_style,
    settle,
)
from pipeline.report.drawing.style import (
    BAND,
    BLUE,
    FAINT,
    GREEN,
    HANDMADE_MARKERS,
    KIND_COLOURS,
    KIND_MARKERS,
    MUTED,
)
from pipeline.report.run_records import RunRecords
from pipeline.report.words import deviation, millions
from pipeline.run.records.candidates import Candidate
from pipeline.run.records.results import Results


def search_progress(run: RunRecords) -> Picture:
    """Score of each candidate in the order of the search, the best so far, and the winners."""
    candidates = sorted(run.scored, key=lambda candidate: candidate.index)
    scores = numpy.array([candidate.log_loss for candidate in candidates])
    order = numpy.arange(1, len(candidates) + 1)
    shown = _shown(scores)
    with report_style():
        figure = new_figure(10.2, 3.1)
        axes = figure.add_subplot()
        banded = _generations(axes, candidates)
        axes.scatter(order, scores, s=11, color=FAINT, linewidths=0, rasterized=len(order) > MANY_POINTS, zorder=2)
        axes.step(order, numpy.minimum.accumulate(scores), where="post", color=BLUE, linewidth=1.8, zorder=3)
        hovers = _mark_winners(axes, run, candidates)
        _name_best(axes, scores)
        _limit(axes, scores[scores <= shown])
        axes.set(xlabel="candidates scored", ylabel="validation log loss\n(supernet weights)")
        axes.margins(x=0.01)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        plain_numbers(axes.yaxis)
        title = "Search progress"
        svg = inline_svg(figure, "progress", title, f"{len(order)} candidates, best {scores.min():.5f}", hovers)
    beyond = int((scores > shown).sum())
    caption = f"Each dot is one of {len(order):,} candidates, in the order of the search; the line is the best so far."
    caption += " Blue dots: the winners." if hovers else ""
    caption += " Bands part the generations." if banded else ""
    caption += f" Above the frame: the worst {beyond}." if beyond else ""
    states = [candidate.state for candidate in run.candidates]
    failed, refused = states.count("failed"), states.count("refused")
    caption += f" Without a dot: the {failed} that failed, whose log loss was not finite." if failed else ""
    caption += f" Without a dot: the {refused} that were refused for their latency." if refused else ""
    return Picture(svg, title, caption)


def _mark_winners(axes: Axes, run: RunRecords, candidates: Sequence[Candidate]) -> dict[str, str]:
    """Draw the winners stronger; returns what they say on hovering."""
    hovers: dict[str, str] = {}
    winners = {candidate.index for candidate in run.winners.winners} if run.winners else set()
    for place, candidate in enumerate(candidates, start=1):
        if candidate.index in winners:
            gid = f"winner-{candidate.index}"
            axes.plot(place, candidate.log_loss, "o", color=BLUE, markersize=5.5, gid=gid, zorder=4)
            hovers[gid] = f"Candidate {candidate.index}: {candidate.score:.5f}"
    return hovers


def _name_best(axes: Axes, scores: numpy.ndarray) -> None:
    best = int(scores.argmin())
    axes.annotate(
        f"best {scores[best]:.4f}",
        (best + 1, scores[best]),
        (0, -12),
        textcoords="offset points",
        ha="right" if best + 1 > len(scores) / 2 else "left",
        color=BLUE,
        fontweight="bold",
    )


def _generations(axes: Axes, candidates: Sequence[Candidate]) -> bool:
    """A light band behind every other generation, if there are neither one nor too many; whether there are bands."""
    starts = [0]
    for place in range(1, len(candidates)):
        if candidates[place].generation != candidates[place - 1].generation:
            starts.append(place)
    if len(starts) == 1 or len(starts) > 60:
        return False
    for start, end in zip(starts[::2], [*starts[1::2], len(candidates)], strict=False):
        axes.axvspan(start + 0.5, end + 0.5, color=BAND, linewidth=0, zorder=0)
    axes.text(0.5, 1.01, "generation 0", transform=axes.get_xaxis_transform(), va="bottom", fontsize=8, color=MUTED)
    return True


def _shown(scores: numpy.ndarray) -> float:
    """The worst score that the frame holds: all of a handful, not the far ones of some, 97 % of many."""
    if len(scores) < 8:
        return float(scores.max())
    if len(scores) < 50:
        return float(numpy.median(scores) + 5 * (numpy.median(scores) - scores.min()))
    return float(numpy.quantile(scores, 0.97))


def _limit(axes: Axes, values: numpy.ndarray) -> None:
    """Vertical limits around the values with room for labels."""
    low, high = float(values.min()), float(values.max())
    room = 0.12 * (high - low) or 0.01 * abs(high) or 1.0
    axes.set_ylim(low - 1.6 * room, high + room)


def loss_over_cost(run: RunRecords, results: Results, alone: bool) -> Picture:
    """Test log loss of the retrained models over multiply-accumulates; candidates' supernet scores above, faint.

    `alone`: no picture stands beside it, so that it has the page's width.
    """
    with report_style():
        figure = new_figure(10.2 if alone else 6.1, 4.3)
        hovers: dict[str, str] = {}
        if run.scored:
            upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
            _candidate_costs(upper, run)
        else:
            lower = figure.add_subplot()
        costs = [model.multiply_accumulates / 1e6 for model in results.models]
        _models(lower, results, hovers)
        log_axis(lower.xaxis, costs + [candidate.multiply_accumulates / 1e6 for candidate in run.scored])
        lower.margins(x=0.08)
        spreads = numpy.array([[-(deviation(model) or 0.0), deviation(model) or 0.0] for model in results.models])
        _limit(lower, numpy.array([[model.test.log_loss] for model in results.models]) + spreads)
        if results.oracle_test_log_loss is not None:
            _oracle(lower, results.oracle_test_log_loss)
        lower.set_title("retrained from scratch, test rows")
        lower.set(xlabel="million multiply-accumulates per row (embeddings not counted)", ylabel="test log loss")
        plain_numbers(lower.yaxis)
        settle(figure)
        label_points(
            lower,
            [
                (cost, model.test.log_loss, model.title, KIND_COLOURS[model.kind])
                for cost, model in zip(costs, results.models, strict=True)
            ],
        )
        title = "Log loss over multiply-accumulates"
        description = "; ".join(
            f"{model.title}: {millions(model.multiply_accumulates)} MMACs, {model.test.log_loss:.4f}"
            for model in results.models
        )
        svg = inline_svg(figure, "cost", title, description, hovers)
    caption = "Down and left is better. Blue: found by the search; orange: hand-made, each with its own recipe."
    caption += " Purple: architectures given as files." if results.of_kind("given") else ""
    caption += " The star: the best on the validation rows."
    caption += " Bars: the standard deviation over seeds." if _has_seeds(results) else ""
    if run.scored:
        caption += " The two panels have different rows and weights, so only their horizontal axes compare."
    return Picture(svg, title, caption)


def _candidate_costs(axes: Axes, run: RunRecords) -> None:
    costs = numpy.array([candidate.multiply_accumulates / 1e6 for candidate in run.scored])
    scores = numpy.array([candidate.log_loss for candidate in run.scored])
    axes.scatter(costs, scores, s=9, color=FAINT, linewidths=0, rasterized=len(costs) > MANY_POINTS)
    picked = run.winners.winners if run.winners else ()
    axes.plot(
        [one.multiply_accumulates / 1e6 for one in picked], [one.log_loss for one in picked], "o", color=BLUE, ms=4.5
    )
    _limit(axes, scores[scores <= _shown(scores)])
    axes.set_title("candidates with the supernet's weights, validation rows")
    axes.set_ylabel("log loss")
    plain_numbers(axes.yaxis)


def _models(axes: Axes, results: Results, hovers: dict[str, str]) -> None:
    handmade = results.of_kind("handmade")
    for model in results.models:
        marker, size, colour = KIND_MARKERS[model.kind], 7.0, KIND_COLOURS[model.kind]
        if model is results.best_model:
            marker, size = "*", 13.0
        elif model in handmade:
            marker = HANDMADE_MARKERS[handmade.index(model) % len(HANDMADE_MARKERS)]
        gid = f"model-{model.kind}-{model.name}"
        cost = model.multiply_accumulates / 1e6
        axes.errorbar(cost, model.test.log_loss, deviation(model), color=colour, elinewidth=1.2, zorder=3)
        axes.plot(cost, model.test.log_loss, marker, ms=size, color=colour, mec="white", mew=0.8, gid=gid, zorder=4)
        hovers[gid] = (
            f"{model.title}: test log loss {model.test.log_loss:.5f}, {millions(model.multiply_accumulates)} MMACs"
        )


def _has_seeds(results: Results) -> bool:
    return any(len(model.seeds) > 1 for model in results.models)


def _oracle(axes: Axes, oracle: float) -> None:
    """The best possible log loss: a line, or a note where it would squeeze the models together."""
    low, high = axes.get_ylim()
    if oracle >= low - 0.6 * (high - low):
        axes.set_ylim(min(low, oracle - 0.06 * (high - low)), high)
        axes.axhline(oracle, color=GREEN, linewidth=1.2, linestyle=(0, (5, 3)))
        place, text = (1.0, oracle), f"best possible {oracle:.4f}"
        transform = axes.get_yaxis_transform()
    else:
        place, text, transform = (1.0, 0.0), f"best possible: {oracle:.4f}, below the frame ↓", axes.transAxes
    axes.annotate(
        text,
        place,
        (0, 3),
        xycoords=transform,
        textcoords="offset points",
        ha="right",
        va="bottom",
        color=GREEN,
        fontsize=8,
    )
