"""DLRM with DCN-v2 against torchrec's modules."""

import pytest
from torch.func import functional_call
from torchrec.models.dlrm import DenseArch, InteractionDCNArch, OverArch
from torchrec.modules.crossnet import LowRankCrossNet

from modules.operators import Cross
from modules.space import InputShape
from modules.space.handmade.dlrm_dcn import dlrm_dcn
from tests.modules.space.handmade.formula import SHAPE, Published


def test_formula():
    """torchrec's bottom MLP, low-rank cross network and top MLP on the same weights, its vectors in another order."""
    own = Published(dlrm_dcn(SHAPE, (9, 7), (8, 5), rank=3, cross_layers=2))
    fields, width = SHAPE.fields, SHAPE.embedding_width
    bottom = {
        f"model._mlp.{layer}._linear.{kind}": own[f"stem.layers.{name}.{kind}"]
        for layer, name in enumerate(("hidden_0", "hidden_1", "vectors_2"))
        for kind in ("weight", "bias")
    }
    dense = functional_call(DenseArch(SHAPE.integers, [9, 7, width]).double(), bottom, own.integers)
    numbers = (fields + 1) * width
    order = [*range(fields * width, numbers), *range(fields * width)]  # the integers' vector is first there, last here
    cross = {}
    for layer in range(2):
        down, up = (f"blocks.0.sparse.cross.cross.{layer}.{name}" for name in ("down", "up"))
        cross[f"crossnet.V_kernels.{layer}"] = own[f"{down}.weight"][:, order]
        cross[f"crossnet.W_kernels.{layer}"] = own[f"{up}.weight"][order]
        cross[f"crossnet.bias.{layer}"] = own[f"{up}.bias"][order]
    interaction = InteractionDCNArch(fields, LowRankCrossNet(numbers, 2, 3).double())
    crossed = functional_call(interaction, cross, (dense, own.fields))
    top = {
        "model.0._mlp.0._linear.weight": own["blocks.1.dense.fc.project.weight"][:, order],
        "model.0._mlp.0._linear.bias": own["blocks.1.dense.fc.project.bias"],
        "model.0._mlp.1._linear.weight": own["blocks.2.dense.fc.project.weight"],
        "model.0._mlp.1._linear.bias": own["blocks.2.dense.fc.project.bias"],
        "model.1.weight": own["head.weight"],
        "model.1.bias": own["head.bias"],
    }
    own.check(functional_call(OverArch(numbers, [8, 5, 1]).double(), top, crossed)[:, 0])


@pytest.mark.parametrize("shape", [InputShape(13, 26, 16), InputShape(1, 1, 4), InputShape(3, 30, 64)])
def test_the_rank_is_low(shape):
    """Without a rank it is one of the space's, at most a quarter of x₀'s numbers where one is so low, never full."""
    (cross,) = dlrm_dcn(shape).blocks[0].sparse_operators
    ranks = [rank for rank in Cross.options["rank"] if rank]
    numbers = (shape.fields + 1) * shape.embedding_width
    assert cross.rank == max([rank for rank in ranks if 4 * rank <= numbers] or ranks[:1])
