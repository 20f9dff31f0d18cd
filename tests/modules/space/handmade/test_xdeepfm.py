"""xDeepFM against its formula."""

import pytest
import torch

from modules.space.handmade.xdeepfm import xdeepfm
from tests.modules.space.handmade.formula import SHAPE, Published

MAPS = (3, 2)


def test_formula():
    """CIN's equation 6 map by map, sum pooling (equations 7 and 8), the linear part and the DNN (equation 9)."""
    own, size, n = Published(xdeepfm(SHAPE, MAPS, (8, 5))), SHAPE.embedding_width, SHAPE.fields + 1
    head = own["head.weight"]
    pooled_from = 5 + n * size
    with torch.no_grad():  # one weight for all numbers of a feature map
        tied = head[:, pooled_from:].view(sum(MAPS), size)
        tied[:] = tied[:, :1].clone()
    start = own.vectors()  # [B, n, D]
    x, logit = start, own.mlp(start.flatten(1), (0, 1)) @ head[0, :5] + start.flatten(1) @ head[0, 5:pooled_from]
    weights = head[0, pooled_from:].detach().view(sum(MAPS), size)[:, 0]
    for layer, maps in enumerate(MAPS):
        kernel = own[f"blocks.{layer}.sparse.compressed_interaction.project.weight"].view(maps, n, x.shape[1])
        x = torch.stack([torch.einsum("ti,btd,bid->bd", kernel[h], start, x) for h in range(maps)], 1)
        pooled, weights = x.sum(2), weights if layer == 0 else weights[MAPS[0] :]
        logit = logit + pooled @ weights[:maps]
    own.check(logit + own["head.bias"], fixed=slice(pooled_from, None))


def test_more_interactions_than_hidden_layers_are_refused():
    """They stand beside the hidden layers."""
    with pytest.raises(ValueError, match="3 CIN layers"):
        xdeepfm(SHAPE, (2, 2, 2), (8, 5))
