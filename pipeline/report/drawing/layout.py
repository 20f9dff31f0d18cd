"""Where everything of an architecture's picture lies: boxes on a grid, every connection routed along rails.

Columns are the stem, the blocks and the head, from left to right; the dense operators form the upper row, the sparse
ones the lower. An output that is read further on climbs to a rail of its own and runs right; each reader branches off
by a rounded corner, so a plain crossing is never a connection. Dense rails lie above the dense row, sparse rails
between the two rows, where both rows can reach them. The oldest output has the uppermost rail: then no climbing line
crosses a rail. Neighbours in the same row are joined by a straight line. Lengths are SVG user units (pixels).
"""

from dataclasses import dataclass

from modules.space import Architecture, InputShape, live
from modules.space.plan import output_widths
from pipeline.report.drawing.wiring import Edge, edges

PITCH, BOX_WIDTH, BOX_HEIGHT = 116.0, 88.0, 46.0
LINE_HEIGHT = 14.0  # each further operator of a block makes its row this much higher
RAIL_GAP, CORNER, CHIP = 12.0, 7.0, 24.0
MARGIN, HEADER = 8.0, 26.0

# Ports: distance from a box's left edge.
TAP = {"input": 14.0, "left": 30.0, "right": 46.0, "stem": 30.0}  # from a rail above; operands dense, stem sparse
SPARSE_TAP = 22.0  # a dot product's sparse inputs, from the rails below
MERGER_DOWN, MERGER_UP, RISER = 38.0, 58.0, 76.0
# Straight from the left neighbour: distance from the middle.
DIRECT = {"input": 0.0, "left": -10.0, "right": 10.0, "stem": 10.0}


@dataclass(frozen=True)
class Box:
    """One operator, stem or the head."""

    node: str
    """Its name in `wiring`."""
    x: float
    y: float
    width: float
    height: float
    live: bool

    @property
    def middle(self) -> float:
        """The y of its centre line."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Route:
    """One drawn connection."""

    edge: Edge
    path: str
    """SVG path data from the border of the source's box to the border of the target's."""
    end: tuple[float, float]
    """Where it arrives, and where its arrow is."""
    heading: str
    """Direction of arrival: "right", "down" or "up"."""


@dataclass(frozen=True)
class ArchitectureLayout:
    """The whole picture."""

    boxes: dict[str, Box]
    routes: tuple[Route, ...]
    """Live connections only."""
    width: float
    height: float


def lay_out(architecture: Architecture) -> ArchitectureLayout:
    """Place every operator and route every live connection once."""
    found = [edge for edge in edges(architecture) if edge.live]
    blocks = architecture.blocks
    last = len(blocks)
    dense_rails = _rails("d", [edge for edge in found if _on_rail(edge, last) and edge.source[0] == "d"])
    sparse_rails = _rails("s", [edge for edge in found if _on_rail(edge, last) and edge.source[0] == "s"])
    dense_height = BOX_HEIGHT + LINE_HEIGHT * (max(len(block.dense_operators) for block in blocks) - 1)
    sparse_height = BOX_HEIGHT + LINE_HEIGHT * (max(len(block.sparse_operators) for block in blocks) - 1)
    dense_y = HEADER + RAIL_GAP * len(dense_rails) + 2 * CORNER
    between = max(2 * CHIP + RAIL_GAP * len(sparse_rails), 64.0)
    sparse_y = dense_y + dense_height + between
    boxes = _boxes(architecture, dense_y, dense_height, sparse_y, sparse_height)
    rail_y = {node: HEADER + RAIL_GAP * index for index, node in enumerate(dense_rails)}
    first = dense_y + dense_height + (between - RAIL_GAP * (len(sparse_rails) - 1)) / 2
    rail_y |= {node: first + RAIL_GAP * index for index, node in enumerate(sparse_rails)}
    routes = tuple(_route(edge, boxes, rail_y, last) for edge in found)
    width = boxes["head"].x + boxes["head"].width + MARGIN
    return ArchitectureLayout(boxes, routes, width, sparse_y + sparse_height + MARGIN)


def _column(node: str) -> int:
    return int(node[1:])


def _on_rail(edge: Edge, last: int) -> bool:
    """Everything but mergers and straight lines between neighbours of one row; `last` is the last block's number."""
    if edge.role == "merger":
        return False
    if edge.role == "head":
        return _column(edge.source) < last
    return edge.source[0] != edge.target[0] or _column(edge.target) - _column(edge.source) > 1


def _rails(row: str, found: list[Edge]) -> list[str]:
    """The nodes of a row that need a rail, oldest first."""
    return [f"{row}{column}" for column in sorted({_column(edge.source) for edge in found})]


def _boxes(
    architecture: Architecture, dense_y: float, dense_height: float, sparse_y: float, sparse_height: float
) -> dict[str, Box]:
    alive = live(architecture)
    boxes = {
        "d0": Box("d0", MARGIN, dense_y, BOX_WIDTH, dense_height, True),
        "s0": Box("s0", MARGIN, sparse_y, BOX_WIDTH, sparse_height, True),
    }
    for number, liveness in enumerate(alive, start=1):
        x = MARGIN + PITCH * number
        boxes[f"d{number}"] = Box(f"d{number}", x, dense_y, BOX_WIDTH, dense_height, liveness.dense)
        boxes[f"s{number}"] = Box(f"s{number}", x, sparse_y, BOX_WIDTH, sparse_height, liveness.sparse)
    x = MARGIN + PITCH * (len(alive) + 1)
    boxes["head"] = Box("head", x, dense_y, 58.0, sparse_y + sparse_height - dense_y, True)
    return boxes


def _route(edge: Edge, boxes: dict[str, Box], rail_y: dict[str, float], last: int) -> Route:
    source, target = boxes[edge.source], boxes[edge.target]
    if edge.role != "merger" and not _on_rail(edge, last):
        y = source.middle + DIRECT.get(edge.role, 0.0)
        return Route(edge, f"M{source.x + source.width:g} {y:g}H{target.x:g}", (target.x, y), "right")
    if edge.role == "merger":
        return _merger(edge, source, target)
    rail = rail_y[edge.source]
    start = source.x + RISER
    if edge.role == "head" and edge.source[0] == "s":  # the head is beside the sparse rails
        climb = f"M{start:g} {source.y:g}V{rail + CORNER:g}Q{start:g} {rail:g} {start + CORNER:g} {rail:g}"
        return Route(edge, f"{climb}H{target.x:g}", (target.x, rail), "right")
    if edge.role == "head":
        end, y, bend = target.x + TAP["input"], target.y, CORNER
    elif edge.source[0] == edge.target[0]:
        end, y, bend = target.x + TAP[edge.role], target.y, CORNER
    else:
        end, y, bend = target.x + SPARSE_TAP, target.y + target.height, -CORNER
    path = (
        f"M{start:g} {source.y:g}V{rail + CORNER:g}Q{start:g} {rail:g} {start + CORNER:g} {rail:g}"
        f"H{end - CORNER:g}Q{end:g} {rail:g} {end:g} {rail + bend:g}V{y:g}"
    )
    return Route(edge, path, (end, y), "down" if bend > 0 else "up")


def _merger(edge: Edge, source: Box, target: Box) -> Route:
    if edge.source[0] == "d":
        x, start, end, heading = source.x + MERGER_DOWN, source.y + source.height, target.y, "down"
    else:
        x, start, end, heading = source.x + MERGER_UP, source.y, target.y + target.height, "up"
    return Route(edge, f"M{x:g} {start:g}V{end:g}", (x, end), heading)


def wire_widths(architecture: Architecture, shape: InputShape) -> dict[str, int]:
    """Numbers in each output, by node: what the thickness of its lines shows."""
    dense, sparse = output_widths(architecture, shape)
    found = {f"d{index}": width for index, width in enumerate(dense)}
    return found | {f"s{index}": vectors * shape.embedding_width for index, vectors in enumerate(sparse)}
