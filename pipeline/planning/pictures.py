"""The pictures of plan.html: what a step takes, what a GPU holds, and where the tables are."""

from collections.abc import Sequence

import numpy
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.ticker import FuncFormatter

from modules.cluster import RESERVED_SHARE
from pipeline.planning.estimate import PARTS, Estimate
from pipeline.report.drawing.figure import Picture, inline_svg, new_figure, report_style
from pipeline.report.drawing.style import BLUE, BROWN, FAINT, GOLD, GREEN, INK, MUTED, PURPLE, SKY, VERMILION
from pipeline.report.words import significant

PART_COLOURS = {
    "lookup": GREEN,
    "vectors": SKY,
    "dense": VERMILION,
    "launches": "#f3b58c",
    "gradients": BLUE,
    "update": "#7cc5a6",
    "all_reduce": PURPLE,
    "beside": GOLD,
}
HELD = {
    "tables": ("tables", BLUE),
    "optimizer": ("their optimizer", SKY),
    "buffers": ("ids and vectors", GREEN),
    "dense": ("dense part", VERMILION),
    "activations": ("activations", GOLD),
}
"""What a GPU holds, by the fields of `Memory`."""
BAR = 0.62
"""Height of a bar, of the distance between two."""


def step_picture(estimates: Sequence[Estimate]) -> Picture:
    """A bar of the step's parts for each number of GPUs, and the rows a second at its end."""
    hovers: dict[str, str] = {}
    with report_style():
        figure = new_figure(10.4, 1.5 + 0.42 * len(estimates))
        axes: Axes = figure.subplots()
        for place, one in enumerate(estimates):
            left = 0.0
            for part, title in PARTS.items():
                width = one.parts_ms[part]
                (bar,) = axes.barh(
                    place, width, BAR, left, color=PART_COLOURS[part], label=title if not place else None
                )
                bar.set_gid(f"step-{place}-{part}")
                hovers[f"step-{place}-{part}"] = f"{_ranks(one)}, {title}: {significant(width)} ms"
                left += width
            text = f"{significant(one.step_ms)} ms · {significant(one.rows_per_s / 1e6)} million rows/s"
            axes.annotate(text, (left, place), (6, 0), textcoords="offset points", va="center", color=INK)
        _rank_axis(axes, estimates)
        axes.set_xlim(0, 1.3 * max(one.step_ms for one in estimates))
        axes.set_xlabel("milliseconds of a step, estimated")
        figure.legend(loc="outside upper left", ncols=4)
        caption = (
            "A step's parts one after the other, as the slowest rank does each. A lower bound: the latencies of "
            "messages are not counted."
        )
        title = "What a step takes"
        return Picture(inline_svg(figure, "step", title, caption, hovers), title, caption)


def memory_picture(estimates: Sequence[Estimate]) -> Picture:
    """A bar of what the fullest GPU holds for each number of GPUs, against its memory."""
    hovers: dict[str, str] = {}
    memory_gb = estimates[0].plan.request.cluster.device_bytes / 1e9
    with report_style():
        figure = new_figure(10.4, 1.5 + 0.42 * len(estimates))
        axes: Axes = figure.subplots()
        for place, one in enumerate(estimates):
            left = 0.0
            for field, (title, colour) in HELD.items():
                width = getattr(one.memory, field) / 1e9
                (bar,) = axes.barh(place, width, BAR, left, color=colour, label=title if not place else None)
                bar.set_gid(f"held-{place}-{field}")
                hovers[f"held-{place}-{field}"] = f"{_ranks(one)}, {title}: {significant(width)} GB"
                left += width
            text = f"{significant(left)} GB"
            if one.memory.host:
                text += f", and {significant(one.memory.host / 1e9)} GB of the host's"
            axes.annotate(text, (left, place), (6, 0), textcoords="offset points", va="center", color=INK)
        axes.axvspan((1 - RESERVED_SHARE) * memory_gb, memory_gb, color=FAINT, alpha=0.25, linewidth=0)
        axes.axvline(memory_gb, color=BROWN, linewidth=1.2, linestyle=(0, (5, 3)))
        axes.annotate(
            f"a GPU's {memory_gb:g} GB",
            (memory_gb, 1),
            (-4, 3),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="right",
            color=BROWN,
        )
        _rank_axis(axes, estimates)
        axes.set_xlim(0, 1.04 * max(memory_gb, *(one.memory.total / 1e9 for one in estimates)))
        axes.set_xlabel("GB on the fullest GPU")
        figure.legend(loc="outside upper left", ncols=5)
        caption = (
            f"The planner fills at most {1 - RESERVED_SHARE:.0%} of a GPU with tables; the rest, shaded, is kept for "
            "the dense part, its activations and what PyTorch holds for itself."
        )
        title = "What a GPU holds"
        return Picture(inline_svg(figure, "memory", title, caption, hovers), title, caption)


def placement_picture(one: Estimate, number: int) -> Picture:
    """Tables, largest first, over ranks: a cell is as dark as the table's rows on the rank are many bytes."""
    request = one.plan.request
    sizes = {table.name: table for table in request.tables}
    tables = sorted(one.plan.tables, key=lambda table: sizes[table.name].bytes, reverse=True)
    ranks, local = request.cluster.world_size, request.cluster.local_world_size
    held = numpy.full((len(tables), ranks), numpy.nan)
    for row, table in enumerate(tables):
        for shard in table.shards:
            if shard.rows:
                held[row, shard.rank] = shard.rows * sizes[table.name].bytes / sizes[table.name].rows / 1e6
    with report_style():
        figure = new_figure(10.4, 1.1 + 0.17 * len(tables))
        axes: Axes = figure.subplots()
        ink = LinearSegmentedColormap.from_list("bytes", ["#dcebf5", SKY, BLUE, "#00324f"])
        norm = LogNorm(max(float(numpy.nanmin(held)), 1e-3), float(numpy.nanmax(held)) * 1.001)
        image = axes.imshow(held, aspect="auto", cmap=ink, norm=norm, interpolation="nearest")
        for edge in range(0, ranks + 1, local):
            axes.axvline(edge - 0.5, color=MUTED, linewidth=0.8)
        axes.grid(visible=False)
        axes.set_yticks(range(len(tables)), [f"{t.name}  {sizes[t.name].rows:,}" for t in tables], fontsize=7)
        axes.set_xlabel(f"rank; lines divide nodes of {local}")
        axes.set_facecolor("#fafbfc")
        bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=32)
        bar.set_label("MB of the table on the rank", color=MUTED)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        bar.outline.set_edgecolor(FAINT)  # type: ignore[operator]
        caption = (
            "A row that is one dark cell is a table on one GPU; eight cells side by side within two lines are a table "
            "split over the GPUs of a node; a line across is a table split over all."
        )
        title = f"Where the tables are, on {_ranks(one)}"
        return Picture(inline_svg(figure, f"placement-{number}", title, caption, {}), title, caption)


def _rank_axis(axes: Axes, estimates: Sequence[Estimate]) -> None:
    axes.set_yticks(range(len(estimates)), [_ranks(one) for one in estimates])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(estimates) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def _ranks(one: Estimate) -> str:
    cluster = one.plan.request.cluster
    return f"{cluster.nodes} × {cluster.local_world_size} GPUs"
