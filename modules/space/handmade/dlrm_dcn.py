"""DLRM with a low-rank cross network (DCN-v2) in the place of its inner products, as in torchrec and MLPerf."""

import dataclasses

from modules.operators import Cross, InputShape, Stem
from modules.space.architecture import Architecture
from modules.space.handmade.dcn_v2 import dcn_v2, low_rank


def dlrm_dcn(
    shape: InputShape,
    bottom: tuple[int, ...] = (512, 256, 64),
    top: tuple[int, ...] = (512, 256),
    rank: int | None = None,
    cross_layers: int = 3,
) -> Architecture:
    """By default DLRM's sizes, MLPerf's three cross layers, and the space's largest rank up to a quarter of x₀.

    It differs from `dcn_v2` by its bottom MLP, which is DLRM's, and by its rank, which is low whatever the width.
    """
    stacked = dcn_v2(shape, cross_layers, top)
    cross = dataclasses.replace(
        stacked.blocks[0], sparse_operators=(Cross(low_rank(shape) if rank is None else rank, cross_layers),)
    )
    return Architecture((cross, *stacked.blocks[1:]), Stem(bottom, 1), stacked.head)
