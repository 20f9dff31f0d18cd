"""The connections of an architecture as a list of edges: what the picture and the terminal drawing both draw.

Nodes: `d0`, `s0` are the dense and sparse stems, `d<b>`, `s<b>` the dense and sparse operators of block b (from 1),
`head` the logit.
"""

from dataclasses import dataclass
from typing import Literal

from modules.operators import FLOAT, Operator, Precision, Read
from modules.space import Architecture, Block, live
from modules.space.liveness import reads_of

Role = Literal["input", "left", "right", "stem", "merger", "head"]


def operator_titles(operators: tuple[Operator, ...]) -> list[str]:
    """What pictures call a block's operators, in their order."""
    return [operator.title for operator in operators]


@dataclass(frozen=True)
class Edge:
    """One output read by one operator, merger or the head."""

    source: str
    """Node whose output is read."""
    target: str
    """Node that reads it."""
    role: Role
    """As one of the joined inputs, as left or right operand, as the flattened stem, by a merger, or by the head."""
    live: bool
    """Whether the reader reaches the logit."""
    title: str = ""
    """What pictures call the merger; empty where there is none."""


def with_precision(words: str, precision: Precision | None) -> str:
    """What is said of an operator, and its bits where it has any.

    >>> with_precision("FC", Precision(4, 8)), with_precision("FC", None)
    ('FC W4A8', 'FC')
    """
    return words if precision is FLOAT else f"{words} {precision}"


def edges(architecture: Architecture) -> tuple[Edge, ...]:
    """Every connection, in the order of the blocks; those of dead operators have `live` False."""
    found: list[Edge] = []
    for number, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
        found += _reads(f"d{number}", block, block.dense_operators, alive.dense)
        found += _reads(f"s{number}", block, block.sparse_operators, alive.sparse)
        if block.dense_to_sparse:
            title = with_precision(block.dense_to_sparse.title, block.precision.dense_to_sparse)
            found.append(Edge(f"d{number}", f"s{number}", "merger", alive.dense_to_sparse, title))
        if block.sparse_to_dense:
            title = with_precision(block.sparse_to_dense.title, block.precision.sparse_to_dense)
            found.append(Edge(f"s{number}", f"d{number}", "merger", alive.sparse_to_dense, title))
    head = architecture.head_block
    read = sorted(reads_of(head, head.operators()), key=_reading_order)
    return (*found, *(Edge(f"{one.side[0]}{one.output}", "head", "head", True) for one in read))


def _reads(target: str, block: Block, operators: tuple[Operator, ...], alive: bool) -> list[Edge]:
    """What a branch of a block reads, each output once."""
    read = sorted(reads_of(block, operators), key=_reading_order)
    return [Edge(f"{one.side[0]}{one.output}", target, _role(one), alive) for one in read]


def _role(read: Read) -> Role:
    assert read.role != "own", "mergers are drawn by themselves"
    return read.role


def _reading_order(read: Read) -> tuple[str, int, int]:
    """Dense outputs before sparse ones, joined inputs before operands."""
    assert read.output is not None
    return read.side, ("input", "left", "right", "stem").index(read.role), read.output


def dead_parts(architecture: Architecture) -> tuple[str, ...]:
    """What does not reach the logit, in words: operators, and mergers of operators that do.

    >>> from modules.space import Block
    >>> from modules.space import NASREC_SMALL
    >>> fc, efc = NASREC_SMALL.dense_operators[0], NASREC_SMALL.sparse_operators[0]
    >>> block = Block((fc,), (efc,), 16, 16, (0,), (0,), 0, 0, None, None)
    >>> dead_parts(Architecture((block, block)))
    ('dense operator of block 1', 'sparse operator of block 1')
    """
    found: list[str] = []
    for number, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
        if not alive.dense:
            found.append(f"dense operator of block {number}")
        if not alive.sparse:
            found.append(f"sparse operator of block {number}")
        if block.dense_to_sparse and alive.dense and not alive.dense_to_sparse:
            found.append(f"dense → sparse merger of block {number}")
        if block.sparse_to_dense and alive.sparse and not alive.sparse_to_dense:
            found.append(f"sparse → dense merger of block {number}")
    return tuple(found)
