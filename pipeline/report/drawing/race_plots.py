"""Plots of the race from scratch: its trials over the rows trained, and what mattered in them."""

from collections.abc import Sequence

import numpy
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipeline.report.drawing.figure import Picture, inline_svg, new_figure, plain_numbers, report_style
from pipeline.report.drawing.style import GOLD, GREEN, INK, KIND_COLOURS, KIND_MARKERS, KIND_TITLES, MUTED, PAPER
from pipeline.report.importance import SHOWN_EFFECTS, Effect, Importance
from pipeline.report.words import counted
from pipeline.run.records.race import Trial
from pipeline.run.records.results import ModelKind

_HOVERED_TRIALS = 400
"""With more trials only those on all rows and the failed ones say what they are."""
FAINT_FIT = 0.2
"""A fit that explains less of the variance is said to be too weak."""
_REACH = 4.0
"""Trials farther above the median than so many times the median's distance from the best are above the frame."""


def race_progress(trials: Sequence[Trial]) -> Picture:
    """Validation log loss of each trial over the rows that the race had trained when it ended."""
    trials = sorted(trials, key=lambda trial: trial.index)
    rows = numpy.cumsum([trial.rows for trial in trials]) / 1e6
    done = [
        (float(at), trial.valid_log_loss, trial)
        for at, trial in zip(rows, trials, strict=True)
        if trial.valid_log_loss is not None
    ]
    failed = [(float(at), trial) for at, trial in zip(rows, trials, strict=True) if trial.valid_log_loss is None]
    beyond = 0
    with report_style():
        figure = new_figure(10.2, 3.6)
        axes = figure.add_subplot()
        hovers: dict[str, str] = {}
        if done:
            beyond = _limit(axes, numpy.array([loss for _, loss, _ in done]))
        for at, loss, trial in done:
            _mark(axes, at, loss, trial, hovers, len(trials) <= _HOVERED_TRIALS)
        _mark_failed(axes, failed, hovers)
        _best_so_far(axes, [(at, loss) for at, loss, trial in done if trial.is_whole], float(rows[-1]))
        axes.set(xlabel="rows trained in the race (millions)", ylabel="validation log loss")
        axes.margins(x=0.02)
        plain_numbers(axes.yaxis)
        figure.legend(handles=_legend(trials), loc="outside upper left", ncols=7, columnspacing=1.4)
        title = "The race"
        description = f"{counted(len(trials), 'trial')}, {len(failed)} failed"
        svg = inline_svg(figure, "race", title, description, hovers)
    return Picture(svg, title, _explained(trials, len(failed), beyond))


def _explained(trials: Sequence[Trial], failed: int, beyond: int) -> str:
    whole = sum(trial.is_whole for trial in trials)
    parts = [f"{counted(len(trials), 'training')} from scratch, in the order in which the race asked for them."]
    if whole < len(trials):
        parts.append(
            f"Filled: {whole} with all training rows in each pass, which compare with one another. Hollow: "
            f"{len(trials) - whole} screenings on a share of the rows."
        )
    parts.append("The line is the best so far of those on all rows." if whole else "None had all rows yet.")
    if failed:
        parts.append(f"Crosses at the top: {failed} failed.")
    if beyond:
        parts.append(f"Above the frame: the worst {beyond}.")
    return " ".join(parts)


def _limit(axes: Axes, losses: numpy.ndarray) -> int:
    """Set the frame around all but the far losses; returns how many lie above it."""
    low, median = float(losses.min()), float(numpy.median(losses))
    reach = median + _REACH * (median - low)
    shown = losses[losses <= reach] if median > low else losses
    high = float(shown.max())
    room = 0.1 * (high - low) or 0.01 * abs(high) or 1.0
    axes.set_ylim(low - room, high + 2 * room)
    return int((losses > high).sum())


def _mark(axes: Axes, at: float, loss: float, trial: Trial, hovers: dict[str, str], every: bool) -> None:
    """One trial: filled where it had all rows, else hollow and smaller."""
    colour, gid = KIND_COLOURS[trial.kind], f"trial-{trial.index}"
    axes.plot(
        at,
        loss,
        KIND_MARKERS[trial.kind],
        markersize=5.5 if trial.is_whole else 4.0,
        markerfacecolor=colour if trial.is_whole else PAPER,
        markeredgecolor=PAPER if trial.is_whole else colour,
        markeredgewidth=0.6 if trial.is_whole else 0.9,
        gid=gid,
        zorder=4 if trial.is_whole else 3,
    )
    if every or trial.is_whole:
        hovers[gid] = describe(trial)


def describe(trial: Trial) -> str:
    """A trial in one line, for hovering."""
    result = f"failed: {trial.failure}" if trial.valid_log_loss is None else f"{trial.valid_log_loss:.5f}"
    share = "" if trial.is_whole else f", {trial.row_share:.0%} of the rows"
    return f"{trial.contender} ({KIND_TITLES[trial.kind]}, {trial.round}): {result}; {trial.recipe.in_words()}{share}"


def _mark_failed(axes: Axes, failed: Sequence[tuple[float, Trial]], hovers: dict[str, str]) -> None:
    """Crosses at the top of the frame."""
    for at, trial in failed:
        gid = f"trial-{trial.index}"
        colour, across = KIND_COLOURS[trial.kind], axes.get_xaxis_transform()
        axes.plot(at, 0.97, "x", color=colour, markersize=5.5, markeredgewidth=1.4, transform=across, gid=gid, zorder=5)
        hovers[gid] = describe(trial)


def _best_so_far(axes: Axes, whole: Sequence[tuple[float, float]], end: float) -> None:
    """A falling line through the best of the trials on all rows, to the end of the race."""
    if not whole:
        return
    rows, losses = zip(*whole, strict=True)
    best = numpy.minimum.accumulate(losses)
    axes.step([*rows, end], [*best, best[-1]], where="post", color=INK, linewidth=1.5, zorder=2)
    axes.annotate(
        f"best {best[-1]:.4f}",
        (end, best[-1]),
        (0, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        color=INK,
        fontweight="bold",
    )


def _legend(trials: Sequence[Trial]) -> list[Line2D]:
    """An entry a kind, then what filled, hollow and crossed mean, as far as they occur."""
    kinds: list[ModelKind] = ["searched", "given", "handmade"]

    def entry(label: str, marker: str, colour: str, filled: bool = True) -> Line2D:
        return Line2D(
            [],
            [],
            linestyle="none",
            marker=marker,
            color=colour,
            label=label,
            markerfacecolor=colour if filled else PAPER,
        )

    present = {trial.kind for trial in trials}
    found = [entry(KIND_TITLES[kind], KIND_MARKERS[kind], KIND_COLOURS[kind]) for kind in kinds if kind in present]
    if any(trial.is_whole for trial in trials):
        found.append(Line2D([], [], color=INK, linewidth=1.5, label="best on all rows"))
    if not all(trial.is_whole for trial in trials):
        found.append(entry("hollow: screened on a share of the rows", "o", MUTED, filled=False))
    if any(trial.valid_log_loss is None for trial in trials):
        found.append(entry("failed", "x", MUTED))
    return found


def what_mattered(importance: Importance) -> Picture:
    """The largest effects of the fit as bars: to the left what lowers the log loss."""
    effects = importance.effects[:SHOWN_EFFECTS]
    with report_style():
        figure = new_figure(10.2, 0.9 + 0.3 * len(effects))
        axes = figure.add_subplot()
        for place, effect in enumerate(effects):
            value = effect.per_deviation
            axes.barh(place, value, 0.55, color=GREEN if value < 0 else GOLD)
            axes.plot([effect.low, effect.high], [place, place], color=INK, linewidth=1.0, solid_capstyle="butt")
            axes.annotate(
                per_unit(effect),
                (1.01, place),
                xycoords=axes.get_yaxis_transform(),
                va="center",
                fontsize=8,
                color=INK if effect.low > 0 or effect.high < 0 else MUTED,
            )
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_yticks(range(len(effects)), [effect.choice for effect in effects])
        axes.tick_params(axis="y", labelsize=8.5, labelcolor=INK)
        axes.grid(axis="y", visible=False)
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.5g}".replace("-", "−") if value else "0")
        axes.set_xlabel("change of the validation log loss for one standard deviation of the choice (left is better)")
        title = "What mattered"
        svg = inline_svg(figure, "importance", title, said(importance), {})
    caption = (
        f"{said(importance)} A ridge regression on choices of recipe and architecture, within equal shares of rows. "
        "Bars with their 95 % intervals over contenders; beside them the change per unit, faint where the interval "
        "holds 0. An association, not a proof: choices that always go together share their effect."
    )
    return Picture(svg, title, caption)


def per_unit(effect: Effect) -> str:
    """An effect in words.

    >>> per_unit(Effect("passes", "pass", -0.00123, -0.001, -0.002, 0.0))
    '−0.0012 per pass'
    >>> per_unit(Effect("Cross", "present", 0.00001, 0.0, -0.1, 0.1))
    '+0.0000 where present'
    """
    sign = "−" if effect.per_unit < 0 else "+"
    unit = "where present" if effect.unit == "present" else f"per {effect.unit}"
    return f"{sign}{abs(effect.per_unit):.4f} {unit}"


def _share(explained: float) -> str:
    return f"{explained:.2f}".lstrip("0") or "0"


def said(importance: Importance) -> str:
    """How much the fit explains, in words, and how far it is to be trusted."""
    text = f"The fit explains {_share(importance.explained)} of the variance of {importance.trials} trials, "
    text += "contenders left out one by one"
    text += "." if importance.explained >= FAINT_FIT else ": too little to trust the bars."
    return text + (f" Far log losses moved nearer: {importance.moved}." if importance.moved else "")
