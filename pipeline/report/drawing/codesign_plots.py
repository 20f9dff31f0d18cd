"""Plots of the ReRAM co-design: what each mapping costs and loses, and where the energy goes."""

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes

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
from pipeline.report.drawing.style import BLUE, FAINT, GREEN, HANDMADE_MARKERS, INK, MUTED, VERMILION
from pipeline.report.words import ratio, significant
from pipeline.run.records.codesign import Codesign, HandmadePoint, MappedPoint

_Measure = Callable[[MappedPoint], float | None]
_ENERGY: tuple[str, _Measure] = ("energy per row (nJ)", lambda point: point.energy_nj)
_LATENCY: tuple[str, _Measure] = ("latency (µs)", lambda point: point.latency_us)
_AREA: tuple[str, _Measure] = ("chip area (mm², embeddings apart)", lambda point: point.area_mm2)
_LOSS: tuple[str, _Measure] = ("log loss, validation rows", lambda point: point.log_loss)
_FRAME = 0.03  # log loss above the floating-point model's that the panels show
_HANDMADE_REACH = 4.0  # a hand-made model is in the frame within so many times the range of the own mappings
_SHOWN_PARTS = 7
_PANELS = ((_ENERGY, _LOSS), (_LATENCY, _LOSS), (_ENERGY, _LATENCY), (_AREA, _LOSS))


def pareto_panels(codesign: Codesign) -> Picture:
    """Four views of every mapping: energy, latency and area against log loss, and energy against latency."""
    hovers: dict[str, str] = {}
    with report_style():
        figure = new_figure(10.2, 6.9)
        panels = list(zip(figure.subplots(2, 2).flat, _PANELS, strict=True))
        for number, (axes, (across, along)) in enumerate(panels):
            _panel(axes, codesign, across, along, f"p{number}", hovers)
        handles, labels = figure.axes[2].get_legend_handles_labels()  # the panel that shows every point
        figure.legend(handles, labels, loc="outside upper left", ncols=8, columnspacing=1.4)
        settle(figure)
        for axes, (across, along) in panels:
            _name_mappings(axes, codesign, across[1], along[1])
        title = "Mappings on ReRAM"
        description = f"{len(codesign.pareto)} Pareto points of {len(codesign.evaluated)} evaluated mappings"
        svg = inline_svg(figure, "pareto", title, description, hovers)
    return Picture(svg, title, f"Down and left is better in every panel. {_explained(codesign)}")


def _explained(codesign: Codesign) -> str:
    text = (
        f"{len(codesign.evaluated):,} mappings evaluated, {len(codesign.pareto):,} Pareto points "
        "(best in some trade of log loss, latency, energy and area; the stepped line joins those best in the panel's "
        "two). The star is the mapping detailed below. Hand-made models are mapped naively, W8A8."
    )
    unmeasured = sum(point.log_loss is None for point in codesign.evaluated)
    if unmeasured:
        text += f" Without a measured log loss, so in the third panel only: {unmeasured:,}."
    outside = [f"{one.title} ({one.point.log_loss:.4f})" for one in _outside(codesign)]
    if outside:
        text += f" Outside the frames for their log loss: {', '.join(outside)}."
    far = sum(_far(point, codesign) for point in codesign.pareto)
    return text + (f" Pareto points of so high a log loss that they lie above the frames: {far:,}." if far else "")


def _panel(
    axes: Axes,
    codesign: Codesign,
    across: tuple[str, _Measure],
    along: tuple[str, _Measure],
    name: str,
    hovers: dict[str, str],
) -> None:
    """One view: every mapping by two of its measures."""

    def at(points: Sequence[MappedPoint]) -> list[tuple[float, float, MappedPoint]]:
        found = [(across[1](point), along[1](point), point) for point in points]
        return [(x, y, point) for x, y, point in found if x is not None and y is not None]

    others, front = at(codesign.evaluated), at(codesign.pareto)
    by_hand = [point for one in codesign.handmade for point in (one.point, one.chosen) if point is not None]
    everything = [*others, *front, *at([codesign.naive]), *at(by_hand)]
    axes.set(xlabel=across[0], ylabel=along[0])
    if not everything:
        axes.text(0.5, 0.5, "no log loss was measured", transform=axes.transAxes, ha="center", color=MUTED)
        return
    xs, ys = [x for x, _, _ in others], [y for _, y, _ in others]
    pixels = len(others) > MANY_POINTS
    axes.scatter(xs, ys, s=8, color=FAINT, linewidths=0, alpha=0.7, rasterized=pixels, label="evaluated")
    _staircase(axes, [(x, y) for x, y, _ in front])
    marks = [(point, "o", 5.5, BLUE, "" if number else "Pareto") for number, (_, _, point) in enumerate(front)]
    for number, one in enumerate(codesign.handmade):
        marks.append((one.point, HANDMADE_MARKERS[number % len(HANDMADE_MARKERS)], 7.0, VERMILION, one.title))
        if one.chosen is not None:
            marks.append((one.chosen, HANDMADE_MARKERS[number % len(HANDMADE_MARKERS)], 11.0, VERMILION, ""))
    marks += [(codesign.naive, "X", 9.0, INK, "naive W8A8"), (codesign.chosen, "*", 15.0, GREEN, "chosen")]
    for number, (point, marker, size, colour, label) in enumerate(marks):
        for x, y, _ in at([point]):
            look: dict[str, Any] = {"marker": marker, "ms": size, "color": colour, "mec": "white", "mew": 0.8}
            gid = f"{name}-{number}"
            axes.plot(x, y, linestyle="none", gid=gid, zorder=5, label=label or None, **look)
            hovers[gid] = describe(point)
    log_axis(axes.xaxis, [x for x, _, _ in everything])
    if along is _LOSS:
        _loss_axis(axes, codesign)
    else:
        log_axis(axes.yaxis, [y for _, y, _ in everything])


def _name_mappings(axes: Axes, codesign: Codesign, across: _Measure, along: _Measure) -> None:
    """Write which point is the naive and which the chosen mapping, clear of the other marked ones."""
    named = ((codesign.naive, "naive W8A8", INK), (codesign.chosen, "chosen", GREEN))
    others = [*codesign.pareto, *(one.point for one in codesign.handmade)]
    labels = [(across(point), along(point), text, colour) for point, text, colour in named]
    around = [(across(point), along(point)) for point in others]
    label_points(
        axes,
        [(x, y, text, colour) for x, y, text, colour in labels if x is not None and y is not None],
        [(x, y) for x, y in around if x is not None and y is not None],
    )


def describe(point: MappedPoint) -> str:
    """A point in one line, for hovering."""
    loss = "log loss not measured" if point.log_loss is None else f"log loss {point.log_loss:.5f}"
    return (
        f"{point.label}: {loss}, {significant(point.energy_nj)} nJ, {significant(point.latency_us)} µs, "
        f"{significant(point.area_mm2)} mm²"
    )


def _staircase(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """The line below and left of which there is no point."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if not best or y < best[-1][1]:
            best.append((x, y))
    if len(best) > 1:
        axes.step(*zip(*best, strict=True), where="post", color=BLUE, linewidth=1.1, alpha=0.6, zorder=3)


def _loss_axis(axes: Axes, codesign: Codesign) -> None:
    """The frame holds the model's marked mappings, and hand-made models unless they would squeeze those together."""
    plain_numbers(axes.yaxis)
    losses = _own_losses(codesign)
    outside = _outside(codesign)
    inside = [one.point.log_loss for one in codesign.handmade if one not in outside]
    losses += [loss for loss in inside if loss is not None]
    axes.axhline(codesign.float_log_loss, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    place, across = (0, codesign.float_log_loss), axes.get_yaxis_transform()
    look: dict[str, Any] = {"textcoords": "offset points", "va": "top", "fontsize": 8, "color": MUTED}
    axes.annotate("floating point", place, (4, -3), xycoords=across, **look)
    room = 0.1 * (max(losses) - min(losses)) or 0.01
    axes.set_ylim(min(losses) - 1.4 * room, max(losses) + room)


def _own_losses(codesign: Codesign) -> list[float]:
    """Log losses of the model's own mappings, but those of very high loss (too few bits)."""
    points = [codesign.naive, codesign.chosen]
    points += [point for point in codesign.pareto if not _far(point, codesign)]
    losses = [point.log_loss for point in points] + [codesign.float_log_loss]
    return [loss for loss in losses if loss is not None]


def _outside(codesign: Codesign) -> list[HandmadePoint]:
    """Hand-made models so much better or worse that a frame with them would hide the model's own mappings."""
    own = _own_losses(codesign)
    reach = _HANDMADE_REACH * max(max(own) - min(own), 1e-3)
    return [
        one
        for one in codesign.handmade
        if one.point.log_loss is not None and not min(own) - reach <= one.point.log_loss <= max(own) + reach
    ]


def _far(point: MappedPoint, codesign: Codesign) -> bool:
    """Whether a point's log loss is so high that it would squeeze the others together."""
    return point.log_loss is not None and point.log_loss > codesign.float_log_loss + _FRAME


def energy_breakdown(codesign: Codesign) -> Picture:
    """The parts of the energy per row: bars of the naive and the chosen mapping, largest first, the smallest as one."""
    naive, chosen = codesign.naive, codesign.chosen
    parts = _parts(naive, chosen)
    with report_style():
        figure = new_figure(10.2, 0.75 + 0.3 * max(len(parts), 1))
        axes = figure.add_subplot()
        for place, (_, *values) in enumerate(parts):
            for value, colour, offset, label in zip(
                values, (INK, GREEN), (-0.19, 0.19), ("naive W8A8", "chosen"), strict=True
            ):
                axes.barh(place + offset, value, 0.34, color=colour, label=label if place == 0 else None)
                look: dict[str, Any] = {"va": "center_baseline", "fontsize": 8, "color": colour}
                at = (value, place + offset)
                axes.annotate(significant(value), at, (4, 0), textcoords="offset points", **look)
        axes.set_yticks(range(len(parts)), [name for name, _, _ in parts])
        axes.tick_params(axis="y", labelsize=8.5, labelcolor=INK)
        axes.grid(axis="y", visible=False)
        axes.invert_yaxis()
        axes.margins(x=0.08, y=0.02)
        axes.set_xlabel("energy per row (nJ)")
        axes.legend(loc="lower right")
        title = "Where the energy goes"
        compared = ratio(naive.energy_nj, chosen.energy_nj, "less", "more")
        description = (
            f"naive {significant(naive.energy_nj)} nJ per row, chosen {significant(chosen.energy_nj)} nJ: {compared}"
        )
        svg = inline_svg(figure, "energy", title, description, {})
    return Picture(svg, title, f"In all: {description}.")


def _parts(naive: MappedPoint, chosen: MappedPoint) -> list[tuple[str, float, float]]:
    """(name, naive nJ, chosen nJ), largest first; those beyond `_SHOWN_PARTS` are added up."""
    before, after = naive.energy_breakdown_nj, chosen.energy_breakdown_nj
    parts = [(name.replace("_", " "), before.get(name, 0.0), after.get(name, 0.0)) for name in {**before, **after}]
    parts = sorted((part for part in parts if part[1] or part[2]), key=lambda part: (-max(part[1:]), part[0]))
    rest = parts[_SHOWN_PARTS:]
    if len(rest) < 2:
        return parts
    return [*parts[:_SHOWN_PARTS], ("all else", sum(part[1] for part in rest), sum(part[2] for part in rest))]
