"""DCN-v2, stacked: cross layers, then an MLP on what they make (arXiv:2008.13535)."""

import dataclasses

from modules.operators import Cross, Head, InputShape
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import BOTTOM, block, tower

WIDEST_FULL_CROSS = 512
"""Numbers of x₀ up to which a cross layer's matrix is a full one."""


def cross_rank(shape: InputShape) -> int:
    """0 for full matrices; where x₀ is wide, a low rank.

    >>> cross_rank(InputShape(13, 26, 16)), cross_rank(InputShape(13, 26, 32))
    (0, 128)
    """
    return 0 if _numbers(shape) <= WIDEST_FULL_CROSS else low_rank(shape)


def low_rank(shape: InputShape) -> int:
    """The space's largest rank up to a quarter of the numbers of x₀, which loses little; its least where none is.

    >>> low_rank(InputShape(13, 26, 16)), low_rank(InputShape(1, 1, 2))
    (64, 16)
    """
    ranks = [rank for rank in Cross.options["rank"] if rank]
    return max((rank for rank in ranks if rank <= _numbers(shape) / 4), default=min(ranks))


def _numbers(shape: InputShape) -> int:
    return (shape.fields + BOTTOM.vectors) * shape.embedding_width


def dcn_v2(shape: InputShape, cross_layers: int = 3, layers: tuple[int, ...] = (512, 256)) -> Architecture:
    """By default three cross layers as in MLPerf's DLRM-DCNv2, whose MLP is wider (1024, 1024, 512, 256)."""
    cross = block(sparse=Cross(cross_rank(shape), cross_layers))
    first, *others = tower(layers, after=1)
    deep = (dataclasses.replace(first, sparse_inputs=(1,)), *others)
    return Architecture((cross, *deep), BOTTOM, Head((1 + len(layers),), ()))
