"""DeepFM against its formula."""

import itertools

import torch

from modules.space.handmade.deepfm import deepfm
from tests.modules.space.handmade.formula import SHAPE, Published


def test_formula():
    """⟨w, x⟩ + Σ_{i<j} ⟨v_i, v_j⟩ + the DNN's logit (arXiv:1703.04247, equations 1 to 4), pair by pair."""
    own, size = Published(deepfm(SHAPE, (8, 5))), SHAPE.embedding_width
    with torch.no_grad():
        own["head.weight"][:, :size] = 1
    vectors = own.vectors()
    machine = sum((vectors[:, i] * vectors[:, j]).sum(1) for i, j in itertools.combinations(range(SHAPE.fields + 1), 2))
    _, deep, first_order = own["head.weight"][0].split([size, 5, vectors[0].numel()])
    x = vectors.flatten(1)
    own.check(x @ first_order + machine + own.mlp(x, (1, 2)) @ deep + own["head.bias"], fixed=slice(0, size))
