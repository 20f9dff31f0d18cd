"""AutoInt against its formula."""

import math

import torch

from modules.operators import InteractingAttention
from modules.space.handmade.autoint import autoint
from tests.modules.space.handmade.formula import SHAPE, Published

LAYERS, HEADS = 2, 3


def interacted(own: Published) -> torch.Tensor:
    """Equations 5 to 8, head by head, on the vectors of the stem; the scores' 1/√w is in W_Q. → [B, n, D]."""
    x = own.vectors()
    for layer in range(LAYERS):
        prefix = f"blocks.0.sparse.interacting_attention.interact.{layer}"
        heads = [part.chunk(HEADS) for part in own[f"{prefix}.query_key_value.weight"].chunk(3)]
        found = []
        for query, key, value in zip(*heads, strict=True):
            scores = torch.einsum("bmw,bkw->bmk", x @ (query / math.sqrt(len(query))).T, x @ key.T)
            found.append(scores.exp() / scores.exp().sum(2, keepdim=True) @ (x @ value.T))
        x = (torch.cat(found, 2) + own.linear(f"{prefix}.residual", x)).clamp(min=0)
    return x


def test_formula():
    """The logit is linear in the last layer's vectors (equation 9)."""
    own = Published(autoint(SHAPE, InteractingAttention(layers=LAYERS, heads=HEADS)))
    own.check(own.linear("head", interacted(own).flatten(1))[:, 0])
