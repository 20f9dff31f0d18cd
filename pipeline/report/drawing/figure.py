"""Matplotlib in the report's style, and its SVG made fit for one page with many others.

The same data give the same bytes: ids are hashed with a fixed salt, no date is written, no global state is touched.
"""

import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator, ScalarFormatter
from matplotlib.transforms import Bbox

from pipeline.report.drawing.style import HAIRLINE, INK, MUTED

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9.0,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": HAIRLINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "legend.handletextpad": 0.5,
    "figure.dpi": 72.0,
}
READABLE_PX_PER_INCH = 102
"""Width on the screen, per inch of the figure, below which its smallest text would have less than 11 pixels."""
MANY_POINTS = 2000
"""A scatter of more points than this is drawn as pixels inside the SVG, to keep the file small."""


@dataclass(frozen=True)
class Picture:
    """An inline SVG with what it is called and what it shows."""

    svg: str
    title: str
    caption: str


def report_style() -> Any:
    """A context in which figures are made and written in the report's style."""
    return matplotlib.rc_context(_STYLE)  # type: ignore[arg-type]


def new_figure(width_in: float, height_in: float) -> Figure:
    """A figure outside pyplot's state."""
    engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.04, hspace=0.06)
    return Figure(figsize=(width_in, height_in), layout=engine)


def inline_svg(figure: Figure, name: str, title: str, description: str, hovers: dict[str, str]) -> str:
    """The figure as an SVG element: ids begin with `name`, artists whose gid is in `hovers` say that on hovering."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")]:
            parent.remove(child)
    for element in root.iter():
        hover = hovers.get(element.get("id", ""))
        if hover is not None:
            hover_title = ElementTree.Element(f"{{{_SVG}}}title")
            hover_title.text = hover
            element.insert(0, hover_title)
        for key, value in element.attrib.items():
            element.set(key, _prefixed(name, key, value))
    _describe(root, name, title, description)
    root.set("style", f"--readable: {READABLE_PX_PER_INCH * figure.get_figwidth():.0f}px")
    return ElementTree.tostring(root, encoding="unicode")


def _prefixed(name: str, key: str, value: str) -> str:
    """An attribute's value with every id made this picture's own."""
    if key == "id":
        return f"{name}-{value}"
    if key in ("href", f"{{{_XLINK}}}href") and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    return value.replace("url(#", f"url(#{name}-")


def _describe(root: ElementTree.Element, name: str, title: str, description: str) -> None:
    """Title and description for screen readers; size left to the page."""
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("class", "plot")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    root.set("stroke-linejoin", "round")
    for tag, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(0, element)


def log_axis(axis: Axis, values: Iterable[float]) -> None:
    """A logarithmic axis with ticks at 1, 2, 5 times powers of ten; linear when the values lie within a factor of 2."""
    found = list(values)
    if min(found) <= 0 or max(found) < 2 * min(found):
        plain_numbers(axis)
        return
    axis._set_axes_scale("log")  # type: ignore[attr-defined]
    steps = (1.0, 2.0, 5.0) if max(found) < 300 * min(found) else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def plain_numbers(axis: Axis) -> None:
    """Ticks as they are, without an offset to be added."""
    axis.set_major_formatter(ScalarFormatter(useOffset=False))


def settle(figure: Figure) -> None:
    """Place the axes for good, so that what is then measured stays true."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


_PLACES = ((7, 0, "left", "center"), (-7, 0, "right", "center"), (0, 7, "center", "bottom"), (0, -7, "center", "top"))
_CORNERS = ((6, 5, "left", "bottom"), (6, -5, "left", "top"), (-6, 5, "right", "bottom"), (-6, -5, "right", "top"))


def label_points(
    axes: Axes, labels: Sequence[tuple[float, float, str, str]], avoid: Sequence[tuple[float, float]] = ()
) -> None:
    """Write (x, y, text, colour) beside each point, where it covers the least of other labels and points.

    Call it when everything else is drawn and the figure is settled.
    """
    renderer = FigureCanvasAgg(axes.figure).get_renderer()  # type: ignore[arg-type]
    inside = axes.get_window_extent(renderer)
    points = [axes.transData.transform(point) for point in [*avoid, *((x, y) for x, y, _, _ in labels)]]
    taken: list[Bbox] = []
    for x, y, text, colour in labels:
        tried: list[tuple[float, int, tuple[int, int, str, str], Bbox]] = []
        for dx, dy, across, along in (*_PLACES, *_CORNERS):
            note = axes.annotate(
                text, (x, y), (dx, dy), textcoords="offset points", ha=across, va=along, fontsize=8, color=colour
            )
            box = note.get_window_extent(renderer)
            note.remove()
            covered = sum(_overlap(box, other) for other in taken) + 40.0 * sum(box.contains(*at) for at in points)
            outside = box.width * box.height - _overlap(box, inside)
            tried.append((covered + 2 * outside, len(tried), (dx, dy, across, along), box))
        _, _, (dx, dy, across, along), box = min(tried, key=lambda one: one[:2])
        taken.append(box)
        axes.annotate(
            text, (x, y), (dx, dy), textcoords="offset points", ha=across, va=along, fontsize=8, color=colour, zorder=9
        )


def _overlap(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else float(both.width * both.height)
