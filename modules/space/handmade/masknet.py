"""MaskNet, parallel: mask blocks on the stem's normed vectors, joined, then a DNN (arXiv:2102.07619, section 3.4)."""

import dataclasses

from modules.operators import Head, InputShape, MaskBlock
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import BOTTOM, HIDDEN, block, tower


def masknet(
    shape: InputShape,
    masks: tuple[int, ...] = (64, 64, 64),
    hidden: int | None = None,
    layers: tuple[int, ...] = (400, 400, 400),
) -> Architecture:
    """Mask blocks of these widths, at most 4, and a DNN; by default nearly BARS's best for Frappe (blocks of 50).

    `hidden` units of the masks: by default twice the stem's numbers as there (the paper's reduction ratio), or the
    largest choice.
    """
    numbers = (shape.fields + BOTTOM.vectors) * shape.embedding_width
    units = hidden or min(MaskBlock.options["hidden"], key=lambda choice: abs(choice - 2 * numbers))
    blocks = tuple(block(MaskBlock(source="stem", hidden=units), dense_width=width) for width in masks)
    first, *others = tower(layers, HIDDEN, after=len(masks))
    joined = dataclasses.replace(first, dense_inputs=tuple(range(1, len(masks) + 1)))
    return Architecture((*blocks, joined, *others), BOTTOM, Head((len(masks) + len(layers),), ()))
