"""FinalMLP against its formula."""

import torch

from modules.space.handmade.finalmlp import finalmlp
from tests.modules.space.handmade.formula import SHAPE, Published

HEADS = 2


def test_formula():
    """Σ_h b + w₁ᵀ o₁ + w₂ᵀ o₂ + o₁ᵀ W o₂ of the heads' parts (arXiv:2304.00902, equations 8 and 9)."""
    own = Published(finalmlp(SHAPE, (8, 6), (4,), HEADS))
    with torch.no_grad():
        own["head.weight"][:] = 1
        own["head.bias"][:] = 0
    x = own.vectors().flatten(1)
    prefix = "blocks.3.dense.bilinear_fusion"
    streams = own.mlp(x, (0, 1)).chunk(HEADS, 1), own.mlp(x, (2,)).chunk(HEADS, 1)
    weights = own[f"{prefix}.left.weight"][0].chunk(HEADS), own[f"{prefix}.right.weight"][0].chunk(HEADS)
    logit = own[f"{prefix}.left.bias"] + own["head.bias"]
    for head, (left, right, of_left, of_right) in enumerate(zip(*streams, *weights, strict=True)):
        matrix = own[f"{prefix}.heads.{head}.project.weight"]
        logit = logit + left @ of_left + right @ of_right + torch.einsum("bi,ij,bj->b", left, matrix, right)
    own.check(logit, fixed=slice(0, 1))
