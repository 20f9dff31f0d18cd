"""DLRM against torchrec's modules."""

import torch
from torch.func import functional_call
from torchrec.models.dlrm import DenseArch, InteractionArch, OverArch

from modules.space.handmade.dlrm import dlrm
from tests.modules.space.handmade.formula import SHAPE, Published


def test_formula():
    """torchrec's bottom MLP, interaction and top MLP on the same weights, its pairs in another order."""
    own = Published(dlrm(SHAPE, (9, 7), (8, 5)))
    fields, width = SHAPE.fields, SHAPE.embedding_width
    bottom = {
        f"model._mlp.{layer}._linear.{kind}": own[f"stem.layers.{name}.{kind}"]
        for layer, name in enumerate(("hidden_0", "hidden_1", "vectors_2"))
        for kind in ("weight", "bias")
    }
    dense = functional_call(DenseArch(SHAPE.integers, [9, 7, width]).double(), bottom, own.integers)
    # Here the integers' vector is the last and stands first there; pairs are counted row by row below the diagonal.
    ours = [(row, column) for row in range(fields + 1) for column in range(row)]
    places = {
        frozenset(((row + 1) % (fields + 1), (column + 1) % (fields + 1))): at for at, (row, column) in enumerate(ours)
    }
    theirs = [places[frozenset(pair)] for pair in torch.triu_indices(fields + 1, fields + 1, 1).T.tolist()]
    order = [*range(width), *(width + at for at in theirs)]
    first = "blocks.0.dense.dot_product.project"
    top = {
        "model.0._mlp.0._linear.weight": own[f"{first}.weight"][:, order],
        "model.0._mlp.0._linear.bias": own[f"{first}.bias"],
        "model.0._mlp.1._linear.weight": own["blocks.1.dense.fc.project.weight"],
        "model.0._mlp.1._linear.bias": own["blocks.1.dense.fc.project.bias"],
        "model.1.weight": own["head.weight"],
        "model.1.bias": own["head.bias"],
    }
    crossed = InteractionArch(fields)(dense, own.fields)
    own.check(functional_call(OverArch(crossed.shape[1], [8, 5, 1]).double(), top, crossed)[:, 0])
