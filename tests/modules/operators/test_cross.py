"""Cross layers against torchrec's modules, the formula and torch's count."""

import pytest
from torchrec.modules.crossnet import CrossNet, LowRankCrossNet

from modules.operators import Cross
from tests.modules.operators.checks import check_network, flat
from tests.modules.operators.plain import D, close, plain

OUTPUTS = {"dense": (2, 5), "sparse": (4, 3), "sparse_inputs": (1,)}  # the stem is read whatever the inputs are
P = 4 * D


def test_full_formula():
    """Full matrices: torchrec's CrossNet, with its weights."""
    own = plain(Cross(layers=3), **OUTPUTS)
    reference = CrossNet(P, 3).double()
    for number in range(3):
        layer = own.layers[f"cross.{number}.full"]
        reference.kernels[number].data, reference.bias[number].data = layer.weight.data, layer.bias.data[:, None]
    close(flat(own.network(own.dense, own.sparse)), reference(flat(own.sparse[0])))


def test_low_rank_formula():
    """Thin matrices: torchrec's LowRankCrossNet."""
    own = plain(Cross(rank=3, layers=2), **OUTPUTS)
    reference = LowRankCrossNet(P, 2, 3).double()
    for number in range(2):
        down, up = own.layers[f"cross.{number}.down"], own.layers[f"cross.{number}.up"]
        reference.V_kernels[number].data, reference.W_kernels[number].data = down.weight.data, up.weight.data
        reference.bias[number].data = up.bias.data
    close(flat(own.network(own.dense, own.sparse)), reference(flat(own.sparse[0])))


def test_vectors_of_the_stem_are_crossed():
    """Vectors from the integers are part of x₀, and the output has as many vectors as the stem."""
    own = plain(Cross(), dense=(2 * D,), sparse=(5,), stem_vectors=2)
    start = flat(own.sparse[0])
    close(flat(own.network(own.dense, own.sparse)), start * own.linear("cross.0.full", start) + start)
    assert own.operator.width(own.block, own.inputs.shape) == 5


@pytest.mark.parametrize(("rank", "matrix"), [(0, P * P), (3, 2 * P * 3)])
def test_counts(rank, matrix):
    """A full or two thin matrices and P products with x₀ a layer; one sum; torch counts the same, scripted alike."""
    own = plain(Cross(rank, layers=2), **OUTPUTS)
    check_network(own)
    assert own.multiply_accumulates == 2 * (matrix + P)
    assert sum(step.parameters() for step in own.steps) == 2 * (matrix + P)  # weights and P biases
    assert sum(step.elementwise_operations for step in own.steps) == 2 * P


@pytest.mark.parametrize("wrong", [{"rank": -1}, {"layers": 0}])
def test_impossible_options_are_refused(wrong):
    """A negative rank and no layer are no cross."""
    with pytest.raises(ValueError, match="Cross"):
        Cross(**wrong)
