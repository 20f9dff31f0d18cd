"""An architecture drawn for a terminal: a table with one row per block, at most 100 columns wide.

`d0 s0` are the stems, `d<b> s<b>` the outputs of block b. An operator in brackets does not reach the logit.
"""

import textwrap

from modules.operators import Operator
from modules.space import Architecture, InputShape, live
from pipeline.report.drawing.wiring import Edge, edges, operator_titles, with_precision

_WIDTHS = ((4,), (13, 5, 20), (14, 5, 11), (7,))
"""Characters of each column, grouped by the table's vertical lines; two spaces part the columns of a group."""

_TIE = "\N{NO-BREAK SPACE}"


def draw_text(architecture: Architecture, shape: InputShape | None = None) -> str:
    """The architecture as lines of at most 100 columns: operators, widths, what each reads, mergers and the head.

    >>> from modules.space import Block
    >>> from modules.space import NASREC_SMALL
    >>> fc, efc = NASREC_SMALL.dense_operators[0], NASREC_SMALL.sparse_operators[0]
    >>> block = Block((fc,), (efc,), 64, 16, (0,), (0,), 0, 0, NASREC_SMALL.dense_to_sparse, None)
    >>> print(draw_text(Architecture((block,)), InputShape(13, 26, 16)))
    ╭──────┬────────────────────────────────────────────┬────────────────────────────────────┬─────────╮
    │    # │ dense          width  reads                │ sparse          width  reads       │ mergers │
    ├──────┼────────────────────────────────────────────┼────────────────────────────────────┼─────────┤
    │ stem │ d0                13  integers             │ s0                 26  fields × 16 │         │
    │    1 │ FC                64  d0                   │ EFC                16  s0          │ d→s     │
    │ head │                       d1                   │                        s1          │         │
    ╰──────┴────────────────────────────────────────────┴────────────────────────────────────┴─────────╯
    """
    last = len(architecture.blocks)
    heading = _lines(("   #", "dense", "width", "reads", "sparse", "width", "reads", "mergers"))
    body = _lines(_stem_row(architecture, shape))
    for number in range(1, last + 1):
        body += _lines(_block_row(architecture, number))
    read = [edge for edge in edges(architecture) if edge.role == "head"]
    dense, sparse = ([edge.source for edge in read if edge.source[0] == side] for side in "ds")
    body += _lines(("head", "", "", " ".join(dense), "", "", " ".join(sparse), ""))
    return "\n".join([_rule("╭┬╮"), *heading, _rule("├┼┤"), *body, _rule("╰┴╯")])


def _stem_row(architecture: Architecture, shape: InputShape | None) -> tuple[str, ...]:
    """The cells of the stem: integers and fields, or vectors made from the integers, which join the fields."""
    stem = architecture.stem
    dense, sparse = ["integers"], "fields" if shape is None else f"fields × {shape.embedding_width}"
    if stem.vectors:
        dense += [*map(str, stem.hidden), f"{stem.vectors}{_TIE}vector{'s' * (stem.vectors > 1)}"]
        sparse += " d0"
    widths = ("", "")
    if shape is not None:
        widths = (f"{stem.dense_width(shape):>5}", f"{shape.fields + stem.vectors:>5}")
    return "stem", "d0", widths[0], " → ".join(dense), "s0", widths[1], sparse, ""


def _block_row(architecture: Architecture, number: int) -> tuple[str, ...]:
    """The cells of one block."""
    block, alive = architecture.blocks[number - 1], live(architecture)[number - 1]
    found = [edge for edge in edges(architecture) if edge.role != "merger"]
    return (
        f"{number:4}",
        with_precision(_operators(block.dense_operators, alive.dense), block.precision.dense),
        f"{block.dense_width:5}",
        _reads([edge for edge in found if edge.target == f"d{number}"]),
        with_precision(_operators(block.sparse_operators, alive.sparse), block.precision.sparse),
        f"{block.sparse_width:5}",
        _reads([edge for edge in found if edge.target == f"s{number}"]),
        " ".join(["d→s"] * alive.dense_to_sparse + ["s→d"] * alive.sparse_to_dense),
    )


def _operators(operators: tuple[Operator, ...], alive: bool) -> str:
    longest = min(_WIDTHS[1][0], _WIDTHS[2][0])  # a dead one stands in brackets
    titles = " + ".join(
        title.replace(" ", _TIE) if len(title) + 2 <= longest else title for title in operator_titles(operators)
    )
    return titles if alive else f"[{titles}]"


def _reads(into: list[Edge]) -> str:
    joined = [edge.source for edge in into if edge.role == "input"]
    return " ".join(joined + [f"{edge.role}{_TIE}{edge.source}" for edge in into if edge.role != "input"])


def _lines(cells: tuple[str, ...]) -> list[str]:
    """One table row; a cell too long for its column continues in the next line (never inside "left d0")."""
    widths = [width for group in _WIDTHS for width in group]
    columns = [
        textwrap.wrap(cell, width, drop_whitespace=not cell.startswith(" ")) or [""]
        for cell, width in zip(cells, widths, strict=True)
    ]
    found = []
    for line in range(max(map(len, columns))):
        texts = iter(
            (column[line].replace(_TIE, " ") if line < len(column) else "").ljust(width)
            for column, width in zip(columns, widths, strict=True)
        )
        found.append("│ " + " │ ".join("  ".join(next(texts) for _ in group) for group in _WIDTHS) + " │")
    return found


def _rule(corners: str) -> str:
    left, middle, right = tuple(corners)
    return left + middle.join("─" * (sum(group) + 2 * len(group)) for group in _WIDTHS) + right
