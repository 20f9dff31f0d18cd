"""An architecture as a standalone SVG: operators in two rows, connections as wires whose thickness shows the width.

The picture has no ids and no style sheet, so any number of them may stand in one page. Each connection is one
`<path data-from data-to data-role>`, each operator one `<g data-node>`.
"""

import math
import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from modules.operators import Operator
from modules.space import Architecture, Block, InputShape, live
from pipeline.report.drawing.layout import LINE_HEIGHT, MARGIN, ArchitectureLayout, Box, Route, lay_out, wire_widths
from pipeline.report.drawing.style import (
    BAND,
    DENSE,
    DENSE_TINT,
    FAINT,
    FONT,
    HAIRLINE,
    INK,
    MUTED,
    PAPER,
    SPARSE,
    SPARSE_TINT,
)
from pipeline.report.drawing.wiring import operator_titles, with_precision

_LEGEND_HEIGHT = 26.0
LEGEND_CHARACTER = 6.2
"""Width of the legend's mean character, in the drawing's pixels."""
READABLE = 11 / 9
"""Pixels of the screen for one of the drawing, from which on its smallest text has 11."""
_ROLES = {
    "input": "joined input",
    "left": "left operand",
    "right": "right operand",
    "stem": "flattened stem",
    "head": "input of the head",
}


def draw_svg(architecture: Architecture, shape: InputShape | None = None) -> str:
    """The architecture as a standalone SVG document; without a `shape` the stems' widths are left out.

    Operators that do not reach the logit are dashed and faint, and what they would read is not drawn.
    """
    layout = lay_out(architecture)
    widths = {} if shape is None else wire_widths(architecture, shape)
    legend = _legend(architecture, layout)
    height = layout.height + _LEGEND_HEIGHT + LINE_HEIGHT * (len(legend) - 1)
    label = f"Architecture of {len(architecture.blocks)} blocks, from the inputs on the left to the logit on the right"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="architecture" viewBox="0 0 {layout.width:g} {height:g}" '
        f'style="--readable: {READABLE * layout.width:.0f}px" '
        f'width="{layout.width:g}" height="{height:g}" role="img" aria-label={quoteattr(label)} '
        f'font-family="{FONT}" font-size="12" fill="{INK}">',
        f"<title>{escape(label)}</title>",
        *_bands(architecture, layout),
        *(_wire(route, architecture, widths) for route in sorted(layout.routes, key=_drawing_order)),
        *_arrows(layout.routes),
        *(_operator(box, architecture, shape) for box in layout.boxes.values()),
        *_chips(layout.routes),
        *_legend_lines(legend, layout),
        "</svg>",
    ]
    return "\n".join(parts)


def _drawing_order(route: Route) -> tuple[bool, str]:
    """Sparse wires first, so that the dense ones cross over them."""
    return route.edge.source[0] == "d", route.edge.source


def _bands(architecture: Architecture, layout: ArchitectureLayout) -> Iterator[str]:
    """A light band behind each block with its number above."""
    for number in range(1, len(architecture.blocks) + 1):
        box = layout.boxes[f"d{number}"]
        yield (
            f'<rect x="{box.x - 8:g}" y="0" width="{box.width + 16:g}" height="{layout.height:g}" rx="8" '
            f'fill="{BAND}"/><text x="{box.x + box.width / 2:g}" y="15" text-anchor="middle" font-size="11" '
            f'fill="{MUTED}">block {number}</text>'
        )


def _wire(route: Route, architecture: Architecture, widths: dict[str, int]) -> str:
    edge = route.edge
    colour = DENSE if edge.source[0] == "d" else SPARSE
    role = f"merged by {edge.title}" if edge.role == "merger" else _ROLES[edge.role]
    numbers = f", {widths[edge.source]:,} numbers" if edge.source in widths else ""
    title = f"{_name(edge.source, architecture)} → {_name(edge.target, architecture)}: {role}{numbers}"
    thickness = 1.8 if not numbers else min(0.9 + 0.3 * math.log2(max(widths[edge.source], 8) / 8), 3.6)
    dash = ' stroke-dasharray="5 3"' if edge.role == "merger" else ""
    return (
        f'<path class="wire" data-from="{edge.source}" data-to="{edge.target}" data-role="{edge.role}" '
        f'd="{route.path}" fill="none" stroke="{colour}" stroke-width="{thickness:.2f}"{dash}>'
        f"<title>{escape(title)}</title></path>"
    )


def _name(node: str, architecture: Architecture) -> str:
    if node == "head":
        return "head"
    row, number = ("dense", "sparse")[node[0] == "s"], int(node[1:])
    return f"{row} stem" if number == 0 else f"block {number} {row}"


def _arrows(routes: tuple[Route, ...]) -> Iterator[str]:
    """One arrow head at each place where wires arrive."""
    for (x, y), heading, colour in sorted(
        {(route.end, route.heading, DENSE if route.edge.source[0] == "d" else SPARSE) for route in routes}
    ):
        corners = {"right": "l-7 -4v8z", "down": "l-4 -7h8z", "up": "l-4 7h8z"}[heading]
        yield f'<path d="M{x:g} {y:g}{corners}" fill="{colour}" stroke="{PAPER}" stroke-width=".6"/>'


def _operator(box: Box, architecture: Architecture, shape: InputShape | None) -> str:
    """A box with the operators' names and the width of what they make."""
    names, width, hover = _caption(box.node, architecture, shape)
    colour, tint = (DENSE, DENSE_TINT) if box.node[0] == "d" else (SPARSE, SPARSE_TINT)
    if box.node == "head":
        colour, tint = INK, PAPER
    look = (
        f'fill="{tint}" stroke="{colour}" stroke-width="1.4"'
        if box.live
        else f'fill="{PAPER}" stroke="{FAINT}" stroke-dasharray="3 3"'
    )
    ink, muted = (INK, MUTED) if box.live else (FAINT, FAINT)
    x, y = box.x + box.width / 2, box.middle - LINE_HEIGHT * len(names) / 2 + 3
    texts = [
        f'<text x="{x:g}" y="{y + LINE_HEIGHT * index:g}" text-anchor="middle" font-weight="600" '
        f'fill="{ink}">{escape(name)}</text>'
        for index, name in enumerate(names)
    ]
    texts.append(
        f'<text x="{x:g}" y="{y + LINE_HEIGHT * len(names):g}" text-anchor="middle" font-size="11" '
        f'fill="{muted}">{escape(width)}</text>'
    )
    return (
        f'<g class="operator" data-node="{box.node}" data-live="{int(box.live)}"><title>{escape(hover)}</title>'
        f"{_outline(box, architecture, look)}{''.join(texts)}</g>"
    )


def _outline(box: Box, architecture: Architecture, look: str) -> str:
    """The operator's own shape: a rectangle, a hexagon or an ellipse; a rectangle where several are summed."""
    outlines = {operator.outline for operator in _operators_at(box.node, architecture)}
    x, y, width, height = box.x, box.y, box.width, box.height
    match outlines.pop() if len(outlines) == 1 else "rectangle":
        case "hexagon":
            side = f"l7 {height / 2:g}l-7 {height / 2:g}"
            return f'<path d="M{x + 7:g} {y:g}h{width - 14:g}{side}h{14 - width:g}l-7 {-height / 2:g}z" {look}/>'
        case "ellipse":
            return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{height / 2:g}" {look}/>'
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7" {look}/>'


def _operators_at(node: str, architecture: Architecture) -> tuple[Operator, ...]:
    """The operators of a node; none for a stem."""
    if node == "head":
        return architecture.head_block.operators()
    if node[1:] == "0":
        return ()
    block = architecture.blocks[int(node[1:]) - 1]
    return block.dense_operators if node[0] == "d" else block.sparse_operators


def _caption(node: str, architecture: Architecture, shape: InputShape | None) -> tuple[list[str], str, str]:
    """A box's lines of names, its width, and its hover text."""
    if node == "head":
        return (
            operator_titles(_operators_at(node, architecture)),
            "linear",
            "The head: one linear layer over all it reads",
        )
    if node == "d0":
        return ["Dense in"], "" if shape is None else f"{shape.integers}", "Stem: the integer columns"
    if node == "s0":
        fields = "" if shape is None else f"{shape.fields} × {shape.embedding_width}"
        return ["Sparse in"], fields, "Stem: one embedding vector per categorical field"
    number = int(node[1:])
    block, alive = architecture.blocks[number - 1], live(architecture)[number - 1]
    if node[0] == "d":
        names, width, built = block.dense_operators, str(block.dense_width), alive.dense
    else:
        names, width, built = block.sparse_operators, f"{block.sparse_width} × D", alive.sparse
        if shape is not None:
            width = f"{block.sparse_width} × {shape.embedding_width}"
    titles, width = (
        operator_titles(names),
        with_precision(width, block.precision.of("dense" if node[0] == "d" else "sparse")),
    )
    hover = f"{_name(node, architecture)}: {' + '.join(titles)}, {width}"
    return titles, width, hover if built else f"{hover}. {_would_read(node, block)} Reaches nothing: not built"


def _would_read(node: str, block: Block) -> str:
    inputs = block.dense_inputs if node[0] == "d" else block.sparse_inputs
    return f"Its inputs would be {', '.join(map(str, inputs))}."


def _chips(routes: tuple[Route, ...]) -> Iterator[str]:
    """What a merger does, where its arrow arrives; L and R where the operands of gating and sum do."""
    for route in routes:
        x, y = route.end
        if route.edge.role == "merger":
            colour = DENSE if route.edge.source[0] == "d" else SPARSE
            text, top = route.edge.title, y - 22 if route.heading == "down" else y + 9
            yield (
                f'<rect x="{x - 11:g}" y="{top:g}" width="22" height="13" rx="6.5" fill="{PAPER}" '
                f'stroke="{colour}" stroke-width="1"/><text x="{x:g}" y="{top + 9.8:g}" text-anchor="middle" '
                f'font-size="9" font-weight="600" fill="{colour}">{text}</text>'
            )
        elif route.edge.role in ("left", "right"):
            across, up = (-13, -3) if route.heading == "right" else (4, -8)
            yield (
                f'<text x="{x + across:g}" y="{y + up:g}" font-size="9" font-weight="600" fill="{DENSE}" '
                f'stroke="{PAPER}" stroke-width="2.5" paint-order="stroke">{route.edge.role[0].upper()}</text>'
            )


def _legend(architecture: Architecture, layout: ArchitectureLayout) -> list[str]:
    """The lines under the drawing, which explain only what it shows."""
    roles = {(route.edge.role, route.edge.source[0]) for route in layout.routes}
    spans = [
        f'<tspan fill="{DENSE}" font-weight="600">dense</tspan> (width)',
        f'<tspan fill="{SPARSE}" font-weight="600">sparse</tspan> (vectors × D)',
        "thicker wire: more numbers",
    ]
    mergers = {(route.edge.title, route.edge.source[0]) for route in layout.routes if route.edge.role == "merger"}
    for title, row in sorted(mergers, key=lambda merger: merger[1]):
        spans.append(f"{title}: {'dense → sparse' if row == 'd' else 'sparse → dense'} merger")
    if ("left", "d") in roles:
        spans.append("L, R: left, right operand")
    if not all(box.live for box in layout.boxes.values()):
        spans.append(f'<tspan fill="{MUTED}">dashed: reaches nothing, not built</tspan>')
    lines = [spans[0]]
    for span in spans[1:]:
        longer = f"{lines[-1]}  ·  {span}"
        if LEGEND_CHARACTER * len(re.sub("<[^>]*>", "", longer)) <= layout.width - 2 * MARGIN:
            lines[-1] = longer
        else:
            lines.append(span)
    return lines


def _legend_lines(lines: list[str], layout: ArchitectureLayout) -> list[str]:
    """The legend's lines below a rule."""
    rule = f"M{MARGIN:g} {layout.height + 3:g}H{layout.width - MARGIN:g}"
    first = layout.height + _LEGEND_HEIGHT - 9
    return [
        f'<path d="{rule}" stroke="{HAIRLINE}"/>',
        *(
            f'<text class="legend" x="{MARGIN:g}" y="{first + LINE_HEIGHT * place:g}" font-size="10.5" '
            f'fill="{MUTED}">{line}</text>'
            for place, line in enumerate(lines)
        ),
    ]
