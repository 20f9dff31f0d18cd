"""Which parts of an architecture reach its logit. Dead parts are not built, not computed and not counted.

In a random NASRec architecture about a quarter of the operators feed nothing: the head reads the last block only, and
connections are drawn freely. In `open` the head often reads one side of a block. Leaving them out changes no output.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from modules.operators import FLOAT, NO_STEM, Operator, Read
from modules.operators.inputs import Side
from modules.space.architecture import Architecture, Block, BlockPrecision


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

    def operators(self, block: Block) -> tuple[Operator, ...]:
        """The block's operators and mergers that are computed, in the order of computing."""
        found = block.dense_operators if self.dense else ()
        found += block.sparse_operators if self.sparse else ()
        if self.dense_to_sparse and block.dense_to_sparse:
            found += (block.dense_to_sparse,)
        if self.sparse_to_dense and block.sparse_to_dense:
            found += (block.sparse_to_dense,)
        return found


def reads_of(block: Block, operators: Iterable[Operator]) -> set[Read]:
    """All that these operators of a block read."""
    return {read for operator in operators for read in operator.reads(block)}


def live(architecture: Architecture) -> tuple[Liveness, ...]:
    """What of each block reaches the logit, block by block."""
    return _walk(architecture)[0]


def stem_is_live(architecture: Architecture) -> bool:
    """Whether a live operator or the head reads an output of the stem (both are made from its vectors)."""
    return bool(_walk(architecture)[1] & {("dense", 0), ("sparse", 0)})


def _walk(architecture: Architecture) -> tuple[tuple[Liveness, ...], set[tuple[Side, int | None]]]:
    """What of each block is live, and the outputs that live operators and the head read, from the head backwards."""
    head = architecture.head_block
    needed = {(read.side, read.output) for read in reads_of(head, head.operators())}
    found: list[Liveness] = []
    for number in range(len(architecture.blocks), 0, -1):
        block = architecture.blocks[number - 1]
        dense_output, sparse_output = ("dense", number) in needed, ("sparse", number) in needed
        dense_to_sparse = sparse_output and block.dense_to_sparse is not None
        sparse_to_dense = dense_output and block.sparse_to_dense is not None
        mergers = Liveness(False, False, dense_output, sparse_output, dense_to_sparse, sparse_to_dense)
        own = {(read.side, read.output) for read in reads_of(block, mergers.operators(block))}
        alive = dataclasses.replace(
            mergers, dense=dense_output or ("dense", None) in own, sparse=sparse_output or ("sparse", None) in own
        )
        needed |= {(read.side, read.output) for read in reads_of(block, alive.operators(block))}
        found.append(alive)
    return tuple(reversed(found)), needed


def canonical(architecture: Architecture) -> Architecture:
    """The same function with every choice that does not matter set to one fixed value; equal means same network.

    The fixed values (no operator, width 1, input 0, merger off) are in no particular space's options, so a canonical
    form is for comparing, not for `SearchSpace.check`.
    """
    blocks = []
    for block, alive in zip(architecture.blocks, live(architecture), strict=True):
        choices = {read.choice for read in reads_of(block, alive.operators(block))}
        blocks.append(
            dataclasses.replace(
                block,
                dense_operators=_by_name(block.dense_operators) if alive.dense else (),
                sparse_operators=_by_name(block.sparse_operators) if alive.sparse else (),
                dense_width=block.dense_width if alive.dense else 1,
                sparse_width=block.sparse_width if alive.sparse else 1,
                dense_inputs=block.dense_inputs if "dense_inputs" in choices else (0,),
                sparse_inputs=block.sparse_inputs if "sparse_inputs" in choices else (0,),
                left=block.left if "left" in choices else 0,
                right=block.right if "right" in choices else 0,
                dense_to_sparse=block.dense_to_sparse if alive.dense_to_sparse else None,
                sparse_to_dense=block.sparse_to_dense if alive.sparse_to_dense else None,
                precision=BlockPrecision(
                    dense=block.precision.dense if alive.dense else FLOAT,
                    sparse=block.precision.sparse if alive.sparse else FLOAT,
                    dense_to_sparse=block.precision.dense_to_sparse if alive.dense_to_sparse else FLOAT,
                    sparse_to_dense=block.precision.sparse_to_dense if alive.sparse_to_dense else FLOAT,
                ),
            )
        )
    stem = architecture.stem if stem_is_live(architecture) else NO_STEM
    head = None if architecture.logit == architecture.default_head else architecture.logit
    return Architecture(tuple(blocks), stem, head)


def _by_name(operators: tuple[Operator, ...]) -> tuple[Operator, ...]:
    return tuple(sorted((operator.canonical() for operator in operators), key=lambda operator: operator.name))
