"""Which parts of an architecture reach its logit. Dead parts are not built, not computed and not counted.

In a random architecture about a quarter of the operators feed nothing: the head reads the last block only, and
connections are drawn freely. Leaving them out changes no output.
"""

import dataclasses
from dataclasses import dataclass

from modules.space.architecture import BINARY_OPERATORS, Architecture, Block


@dataclass(frozen=True)
class Liveness:
    """What of one block reaches the logit."""

    dense: bool
    """The dense operators are computed."""
    sparse: bool
    """The sparse operators are computed."""
    dense_output: bool
    """The dense output (operators plus merger) is read by a later block or the head."""
    sparse_output: bool
    """The sparse output (operators plus merger) is read by a later block or the head."""
    dense_to_sparse: bool
    """The dense-to-sparse merger is computed."""
    sparse_to_dense: bool
    """The sparse-to-dense merger is computed."""


def reads(block: Block, dense: bool, sparse: bool) -> tuple[set[int], set[int]]:
    """The dense and the sparse outputs that a block reads when its dense and/or sparse operators are computed."""
    dense_read: set[int] = set()
    sparse_read: set[int] = set()
    for operator in block.dense_operators if dense else ():
        dense_read |= {block.left, block.right} if operator in BINARY_OPERATORS else set(block.dense_inputs)
        if operator == "dot_product":
            sparse_read |= set(block.sparse_inputs)
    if sparse:
        sparse_read |= set(block.sparse_inputs)
    return dense_read, sparse_read


def live(architecture: Architecture) -> tuple[Liveness, ...]:
    """What of each block reaches the logit, block by block."""
    last = len(architecture.blocks)
    dense_needed, sparse_needed = {last}, {last}
    found: list[Liveness] = []
    for number in range(last, 0, -1):
        block = architecture.blocks[number - 1]
        dense_output, sparse_output = number in dense_needed, number in sparse_needed
        dense_to_sparse = sparse_output and block.dense_to_sparse
        sparse_to_dense = dense_output and block.sparse_to_dense
        dense, sparse = dense_output or dense_to_sparse, sparse_output or sparse_to_dense
        dense_read, sparse_read = reads(block, dense, sparse)
        dense_needed |= dense_read
        sparse_needed |= sparse_read
        found.append(Liveness(dense, sparse, dense_output, sparse_output, dense_to_sparse, sparse_to_dense))
    return tuple(reversed(found))


def canonical(architecture: Architecture) -> Architecture:
    """The same function with every choice that does not matter set to one fixed value; equal means same network.

    The fixed values (narrowest of the block's own kind, input 0, merger off) are in no particular space's options,
    so a canonical form is for comparing, not for `SearchSpace.check`.
    """
    blocks = []
    for block, alive in zip(architecture.blocks, live(architecture), strict=True):
        binary = alive.dense and any(name in BINARY_OPERATORS for name in block.dense_operators)
        joined = alive.dense and any(name not in BINARY_OPERATORS for name in block.dense_operators)
        fields = alive.sparse or (alive.dense and "dot_product" in block.dense_operators)
        blocks.append(
            dataclasses.replace(
                block,
                dense_operators=tuple(sorted(block.dense_operators)) if alive.dense else ("fc",),
                sparse_operators=tuple(sorted(block.sparse_operators)) if alive.sparse else ("efc",),
                dense_width=block.dense_width if alive.dense else 1,
                sparse_width=block.sparse_width if alive.sparse else 1,
                dense_inputs=block.dense_inputs if joined else (0,),
                sparse_inputs=block.sparse_inputs if fields else (0,),
                left=block.left if binary else 0,
                right=block.right if binary else 0,
                dense_to_sparse=alive.dense_to_sparse,
                sparse_to_dense=alive.sparse_to_dense,
            )
        )
    return Architecture(tuple(blocks))
