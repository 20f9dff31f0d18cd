"""What hand-made models are put together from: blocks with one operator that matters, and towers of hidden layers."""

from collections.abc import Iterable
from typing import Any

from modules.operators import EmbeddedFullyConnected, Operator, Stem, WideFullyConnected
from modules.space.architecture import Block

FLAT = WideFullyConnected(sides="sparse", norm=False)
"""A hidden layer on flattened vectors: ReLU(W x + b)."""
HIDDEN = WideFullyConnected(sides="dense", norm=False)
"""A hidden layer on dense outputs."""
BOTTOM = Stem((128,), 1)
"""One more vector, made from the integers. The papers make fields of the integers, each in a way of its own (buckets,
scaled embeddings) that belongs to the data and not to the model."""


def block(dense: Operator = HIDDEN, sparse: Operator | None = None, **choices: Any) -> Block:
    """A block with these operators and choices. What is not given stands there, but nothing reads it: it is dead."""
    defaults: dict[str, Any] = {
        "dense_width": 16,
        "sparse_width": 8,
        "dense_inputs": (0,),
        "sparse_inputs": (0,),
        "left": 0,
        "right": 0,
        "dense_to_sparse": None,
        "sparse_to_dense": None,
    }
    operators = {"dense_operators": (dense,), "sparse_operators": (sparse or EmbeddedFullyConnected(),)}
    return Block(**{**defaults, **operators, **choices})


def tower(widths: Iterable[int], first: Operator = FLAT, after: int = 0) -> tuple[Block, ...]:
    """Hidden layers of these widths, one a block, behind `after` other blocks.

    The first reads the stem with the operator `first`, every other one reads the one before it.

    >>> [(layer.dense_width, layer.dense_inputs) for layer in tower((64, 32), after=2)]
    [(64, (0,)), (32, (3,))]
    """
    found: list[Block] = []
    for number, width in enumerate(widths, start=after + 1):
        operator, read = (HIDDEN, number - 1) if found else (first, 0)
        found.append(block(operator, dense_width=width, dense_inputs=(read,)))
    return tuple(found)
