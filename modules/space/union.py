"""Two architectures joined or crossed, one made narrower or wider: what a search makes of candidates by no mutation."""

import dataclasses

import numpy

from modules.operators import Head, Stem
from modules.space.architecture import Architecture, Block
from modules.space.depth import without_dead_blocks
from modules.space.search_space import SearchSpace


def unite(first: Architecture, second: Architecture, space: SearchSpace) -> Architecture | None:
    """Both networks side by side on the stem with more vectors, under one head that reads what either head read.

    Blocks that both have are there once. None where the space does not hold the result: too many blocks, or no free
    head.
    """
    if not space.free_head:
        return None
    blocks = list(first.blocks)
    moved = {0: 0}  # the second's outputs by their numbers in the union
    for number, block in enumerate(second.blocks, start=1):
        own = _renumbered(block, moved)
        if own not in blocks:
            blocks.append(own)
        moved[number] = 1 + blocks.index(own)
    head = Head(
        tuple(sorted({*first.logit.dense, *(moved[output] for output in second.logit.dense)})),
        tuple(sorted({*first.logit.sparse, *(moved[output] for output in second.logit.sparse)})),
    )
    stem = max(first.stem, second.stem, key=lambda one: one.vectors)  # of as many, the first's
    united = without_dead_blocks(Architecture(tuple(blocks), stem, head), space.depths[0], space.max_inputs)
    return united if len(united.blocks) in space.depths else None


def crossover(
    first: Architecture, second: Architecture, space: SearchSpace, generator: numpy.random.Generator
) -> Architecture:
    """The second, with each block that the first has too taken from the first as likely as not.

    Blocks keep their numbers, and block b reads outputs below b in either, so the result is in every space that holds
    both. Depth, stem and head are the second's.
    """
    blocks = tuple(
        first.blocks[index] if index < len(first.blocks) and generator.integers(2) else block
        for index, block in enumerate(second.blocks)
    )
    crossed = dataclasses.replace(second, blocks=blocks)
    return without_dead_blocks(crossed, space.depths[0], space.max_inputs) if len(space.depths) > 1 else crossed


def _renumbered(block: Block, moved: dict[int, int]) -> Block:
    return dataclasses.replace(
        block,
        dense_inputs=tuple(sorted({moved[output] for output in block.dense_inputs})),
        sparse_inputs=tuple(sorted({moved[output] for output in block.sparse_inputs})),
        left=moved[block.left],
        right=moved[block.right],
    )


def narrow(architecture: Architecture, widest: int, space: SearchSpace) -> Architecture:
    """The architecture with dense widths of at most `widest` (at least the space's least), and a stem of one layer.

    Hand-made models have the sizes that were published for large logs; narrower ones cost a fraction and often win.
    """
    widths = [width for width in space.dense_widths if width <= widest] or [space.dense_widths[0]]
    blocks = tuple(
        dataclasses.replace(block, dense_width=min(block.dense_width, widths[-1])) for block in architecture.blocks
    )
    stem = architecture.stem
    stems = [one for one in space.stems if one.vectors == stem.vectors and len(one.hidden) <= 1]
    if stem.hidden and len(stem.hidden) > 1 and stems:
        stem = max(stems, key=_hidden_units)
    return Architecture(blocks, stem, architecture.head)


def widen(architecture: Architecture, factor: int, space: SearchSpace) -> Architecture:
    """The architecture with dense widths `factor` times as wide, as far as the space has such widths."""

    def wider(width: int) -> int:
        return max((own for own in space.dense_widths if own <= factor * width), default=width)

    blocks = tuple(dataclasses.replace(block, dense_width=wider(block.dense_width)) for block in architecture.blocks)
    return dataclasses.replace(architecture, blocks=blocks)


def _hidden_units(stem: Stem) -> int:
    return sum(stem.hidden)
