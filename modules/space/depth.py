"""Blocks put into an architecture and taken out of it; every connection is renumbered.

Outputs are numbered from the stem's 0; block p makes output p.
"""

import dataclasses
from collections.abc import Callable

from modules.operators import Head
from modules.space.architecture import Architecture, Block
from modules.space.liveness import live


def with_block(architecture: Architecture, number: int, block: Block) -> Architecture:
    """The architecture with one more block, which becomes block `number`; nothing reads it."""

    def moved(output: int) -> tuple[int, ...]:
        return (output + (output >= number),)

    before, after = architecture.blocks[: number - 1], architecture.blocks[number - 1 :]
    blocks = (*before, block, *(_renumbered(later, moved, moved) for later in after))
    return dataclasses.replace(architecture, blocks=blocks, head=_head(architecture.logit, moved, moved))


def without_block(architecture: Architecture, number: int, most_inputs: int | None = None) -> Architecture:
    """The architecture without block `number`; what read it reads the block's own inputs instead.

    `most_inputs`: of a block's lists of inputs no more than so many outputs are kept, the earliest first.
    """
    gone = architecture.blocks[number - 1]

    def dense(output: int) -> tuple[int, ...]:
        return gone.dense_inputs if output == number else (output - (output > number),)

    def sparse(output: int) -> tuple[int, ...]:
        return gone.sparse_inputs if output == number else (output - (output > number),)

    before, after = architecture.blocks[: number - 1], architecture.blocks[number:]
    blocks = (*before, *(_renumbered(later, dense, sparse, most_inputs) for later in after))
    return dataclasses.replace(architecture, blocks=blocks, head=_head(architecture.logit, dense, sparse))


def without_dead_blocks(architecture: Architecture, fewest: int, most_inputs: int) -> Architecture:
    """The same network without the blocks of which nothing is live; at least the `fewest` blocks are kept.

    Choices that change nothing (the inputs of dead operators) may be others.
    """
    for number in range(len(architecture.blocks), 0, -1):
        alive = live(architecture)[number - 1]
        if len(architecture.blocks) > fewest and not alive.dense and not alive.sparse:
            architecture = without_block(architecture, number, most_inputs)
    return architecture


def _renumbered(
    block: Block,
    dense: Callable[[int], tuple[int, ...]],
    sparse: Callable[[int], tuple[int, ...]],
    most_inputs: int | None = None,
) -> Block:
    return dataclasses.replace(
        block,
        dense_inputs=_all(block.dense_inputs, dense)[:most_inputs],
        sparse_inputs=_all(block.sparse_inputs, sparse)[:most_inputs],
        left=dense(block.left)[0],
        right=dense(block.right)[0],
    )


def _head(head: Head, dense: Callable[[int], tuple[int, ...]], sparse: Callable[[int], tuple[int, ...]]) -> Head:
    return Head(_all(head.dense, dense), _all(head.sparse, sparse))


def _all(outputs: tuple[int, ...], moved: Callable[[int], tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({other for output in outputs for other in moved(output)}))
