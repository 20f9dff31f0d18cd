"""Stacked DCN-v2 against torchrec's cross networks."""

import pytest
import torch
from torch.func import functional_call
from torchrec.modules.crossnet import CrossNet, LowRankCrossNet

from modules.operators import Cross
from modules.space import InputShape
from modules.space.handmade.dcn_v2 import dcn_v2
from tests.modules.space.handmade.formula import SHAPE, Published

WIDE = InputShape(3, 4, 104)


def crossed(own: Published, layers: int) -> torch.Tensor:
    """torchrec's cross network on the stem, with the weights of block 1."""
    start, prefix = own.vectors().flatten(1), "blocks.0.sparse.cross.cross"
    weights = {}
    rank = 0 if f"{prefix}.0.full.weight" in own.parameters else own[f"{prefix}.0.down.weight"].shape[0]
    for layer in range(layers):
        last = "up" if rank else "full"
        bias = own[f"{prefix}.{layer}.{last}.bias"]
        weights[f"bias.{layer}"] = bias if rank else bias[:, None]
        weights[f"{'W_kernels' if rank else 'kernels'}.{layer}"] = own[f"{prefix}.{layer}.{last}.weight"]
        if rank:
            weights[f"V_kernels.{layer}"] = own[f"{prefix}.{layer}.down.weight"]
    width = start.shape[1]
    network = LowRankCrossNet(width, layers, rank) if rank else CrossNet(width, layers)
    return functional_call(network.double(), weights, start)


@pytest.mark.parametrize(("shape", "rank"), [(SHAPE, 0), (WIDE, 128)])
def test_formula(shape, rank):
    """Cross layers, full or of low rank where x₀ is wide, then the MLP on what they make, then the logit."""
    architecture = dcn_v2(shape, 2, (8, 5))
    assert architecture.blocks[0].sparse_operators == (Cross(rank, 2),)
    own = Published(architecture, shape)
    own.check(own.linear("head", own.mlp(crossed(own, 2), (1, 2)))[:, 0])
