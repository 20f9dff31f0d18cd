"""DCN-v2, parallel: cross layers beside an MLP, both on the stem; the logit reads both (arXiv:2008.13535, figure 1)."""

import dataclasses

from modules.operators import Cross, Head, InputShape
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import BOTTOM, tower
from modules.space.handmade.dcn_v2 import cross_rank


def dcn_v2_parallel(
    shape: InputShape, cross_layers: int = 4, layers: tuple[int, ...] = (400, 400, 400)
) -> Architecture:
    """By default BARS's best for Frappe (there with a batch norm in the MLP)."""
    first, *others = tower(layers)
    crossed = dataclasses.replace(first, sparse_operators=(Cross(cross_rank(shape), cross_layers),))
    return Architecture((crossed, *others), BOTTOM, Head((len(layers),), (1,)))
