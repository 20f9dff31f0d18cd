"""MaskNet against its formula."""

import torch
from torch.nn import functional

from modules.operators import InputShape
from modules.space.handmade.masknet import masknet
from tests.modules.space.handmade.formula import SHAPE, Published


def test_formula():
    """Every block: ReLU(LN(W (mask ⊙ the vectors' norms))), the mask two layers of the stem; joined, then the DNN."""
    own = Published(masknet(SHAPE, (4, 3), 16, (8, 5)))
    vectors, size = own.vectors(), SHAPE.embedding_width
    x, made = vectors.flatten(1), []
    for block, width in enumerate((4, 3)):
        prefix = f"blocks.{block}.dense.mask_block"
        hidden = own.linear(f"{prefix}.aggregate", x).clamp(min=0)
        mask = own.linear(f"{prefix}.masks.stem.project", hidden)
        norms = [(own[f"{prefix}.vectors.{v}.norm.weight"], own[f"{prefix}.vectors.{v}.norm.bias"]) for v in range(5)]
        normed = [functional.layer_norm(vectors[:, v], (size,), *norms[v]) for v in range(5)]
        projected = own.linear(f"{prefix}.project", mask * torch.cat(normed, 1))
        norm = own[f"{prefix}.norm.weight"], own[f"{prefix}.norm.bias"]
        made.append(functional.layer_norm(projected, (width,), *norm).clamp(min=0))
    own.check(own.linear("head", own.mlp(torch.cat(made, 1), (2, 3)))[:, 0])


def test_hidden_units_follow_the_stem():
    """Twice the stem's numbers, or the largest choice."""
    widths = [masknet(InputShape(1, fields, 8)).blocks[0].dense_operators[0].hidden for fields in (1, 7, 60)]
    assert widths == [32, 128, 512]
