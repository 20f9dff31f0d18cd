"""The connections of an architecture as a list of edges: what the picture and the terminal drawing both draw.

Nodes: `d0`, `s0` are the dense and sparse stems, `d<b>`, `s<b>` the dense and sparse operators of block b (from 1),
`head` the logit.
"""

from dataclasses import dataclass
from typing import Literal

from modules.space import Architecture, Block, Liveness, live
from modules.space.architecture import BINARY_OPERATORS

Role = Literal["input", "left", "right", "merger", "head"]

OPERATOR_TITLES = {
    "fc": "FC",
    "dot_product": "Dot product",
    "sigmoid_gating": "Gating",
    "sum": "Sum",
    "efc": "EFC",
    "attention": "Attention",
}
"""What pictures call each operator."""


def operator_titles(operators: tuple[str, ...]) -> list[str]:
    """What pictures call a block's operators, in their order."""
    return [OPERATOR_TITLES[operator] for operator in operators]


@dataclass(frozen=True)
class Edge:
    """One output read by one operator, merger or the head."""

    source: str
    """Node whose output is read."""
    target: str
    """Node that reads it."""
    role: Role
    """As one of the joined inputs, as left or right operand, by a merger, or by the head."""
    live: bool
    """Whether the reader reaches the logit."""


def edges(architecture: Architecture) -> tuple[Edge, ...]:
    """Every connection, in the order of the blocks; those of dead operators have `live` False."""
    found: list[Edge] = []
    for number, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
        found += _dense_edges(number, block, alive)
        found += [Edge(f"s{index}", f"s{number}", "input", alive.sparse) for index in block.sparse_inputs]
        if block.dense_to_sparse:
            found.append(Edge(f"d{number}", f"s{number}", "merger", alive.dense_to_sparse))
        if block.sparse_to_dense:
            found.append(Edge(f"s{number}", f"d{number}", "merger", alive.sparse_to_dense))
    last = len(architecture.blocks)
    return (*found, Edge(f"d{last}", "head", "head", True), Edge(f"s{last}", "head", "head", True))


def _dense_edges(number: int, block: Block, alive: Liveness) -> list[Edge]:
    target = f"d{number}"
    found: list[Edge] = []
    if any(name not in BINARY_OPERATORS for name in block.dense_operators):
        found += [Edge(f"d{index}", target, "input", alive.dense) for index in block.dense_inputs]
    if any(name in BINARY_OPERATORS for name in block.dense_operators):
        found += [
            Edge(f"d{block.left}", target, "left", alive.dense),
            Edge(f"d{block.right}", target, "right", alive.dense),
        ]
    if "dot_product" in block.dense_operators:
        found += [Edge(f"s{index}", target, "input", alive.dense) for index in block.sparse_inputs]
    return found


def dead_parts(architecture: Architecture) -> tuple[str, ...]:
    """What does not reach the logit, in words: operators, and mergers of operators that do.

    >>> from modules.space import Block
    >>> block = Block(("fc",), ("efc",), 16, 16, (0,), (0,), 0, 0, False, False)
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
