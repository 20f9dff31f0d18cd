"""DCN-v2, stacked: cross layers, then an MLP on what they make (arXiv:2008.13535; torchrec's DLRM_DCN)."""

import dataclasses

from modules.operators import Cross, Head, InputShape
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import BOTTOM, block, tower

WIDEST_FULL_CROSS = 512
"""Numbers of x₀ up to which a cross layer's matrix is a full one."""


def cross_rank(shape: InputShape) -> int:
    """0 for full matrices; where x₀ is wide, the largest rank up to a quarter of its numbers, which loses little.

    >>> cross_rank(InputShape(13, 26, 16)), cross_rank(InputShape(13, 26, 32))
    (0, 128)
    """
    numbers = (shape.fields + BOTTOM.vectors) * shape.embedding_width
    return 0 if numbers <= WIDEST_FULL_CROSS else max(rank for rank in Cross.options["rank"] if rank <= numbers / 4)


def dcn_v2(shape: InputShape, cross_layers: int = 3, layers: tuple[int, ...] = (512, 256)) -> Architecture:
    """By default three cross layers as in MLPerf's DLRM-DCNv2, whose MLP is wider (1024, 1024, 512, 256)."""
    cross = block(sparse=Cross(cross_rank(shape), cross_layers))
    first, *others = tower(layers, after=1)
    deep = (dataclasses.replace(first, sparse_inputs=(1,)), *others)
    return Architecture((cross, *deep), BOTTOM, Head((1 + len(layers),), ()))
