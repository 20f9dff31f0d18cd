"""Parallel DCN-v2 against torchrec's cross network and an MLP."""

import torch

from modules.space.handmade.dcn_v2_parallel import dcn_v2_parallel
from tests.modules.space.handmade.formula import SHAPE, Published
from tests.modules.space.handmade.test_dcn_v2 import crossed


def test_formula():
    """The logit of [deep, crossed], both from the stem (arXiv:2008.13535, section 3.4)."""
    own = Published(dcn_v2_parallel(SHAPE, 3, (8, 5)))
    deep = own.mlp(own.vectors().flatten(1), (0, 1))
    own.check(own.linear("head", torch.cat([deep, crossed(own, 3)], 1))[:, 0])
