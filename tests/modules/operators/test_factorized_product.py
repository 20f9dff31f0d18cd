"""The factorized product against its formula, FinalNet's layer and torch's count."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from modules.operators import FactorizedProduct
from tests.modules.operators.checks import check_network, flat, rebuilt
from tests.modules.operators.plain import D, close, plain

OUTPUTS = {"dense": (4, 6, 3), "sparse": (5, 2), "dense_inputs": (0, 2), "dense_width": 7}


def read(own, source):
    """What x is, and the columns of the supernet's matrix that read it are as many."""
    stem = [flat(own.sparse[0])] if own.inputs.shape.stem_vectors else [own.dense[0], flat(own.sparse[0])]
    dense = [own.dense[i] for i in own.block.dense_inputs]
    return torch.cat({"stem": stem, "dense": dense, "both": stem + dense}[source], 1)


@pytest.mark.parametrize("stem_vectors", [0, 2])
@pytest.mark.parametrize("residual", ["left", "projected"])
@pytest.mark.parametrize("source", ["dense", "stem", "both"])
def test_formula(source, residual, stem_vectors):
    """act(LN((V x + c) ⊙ (W x + b) + residual)), x the dense inputs, the stem (integers or their vectors) or both."""
    outputs = {**OUTPUTS, "dense": (2 * D, 6, 3)} if stem_vectors else OUTPUTS
    own = plain(FactorizedProduct(source, residual), **outputs, stem_vectors=stem_vectors)
    x = read(own, source)
    left, right = own.linear("left", x), own.linear("right", x)
    added = left if residual == "left" else own.linear("residual", x)
    close(own.network(own.dense, own.sparse), own.normed("norm", left * right + added).clamp(min=0))


def test_it_is_finalnets_layer():
    """FinalNet's code: one linear layer of twice the width, h_2 + h_1 ⊙ h_2 of its halves."""
    own = plain(FactorizedProduct("stem", norm=False, activation="none"), **OUTPUTS)
    linear = nn.Linear(4 + 5 * D, 14).double()
    for name, rows in (("left", slice(0, 7)), ("right", slice(7, 14))):
        linear.weight.data[rows], linear.bias.data[rows] = own.layers[name].weight.data, own.layers[name].bias.data
    second, first = linear(read(own, "stem")).chunk(2, -1)
    close(own.network(own.dense, own.sparse), second + first * second)


@pytest.mark.parametrize(
    ("operator", "inputs", "matrices"),
    [
        (FactorizedProduct(), 7, 2),
        (FactorizedProduct("stem", norm=False, activation="silu"), 4 + 5 * D, 2),
        (FactorizedProduct("both", "projected"), 4 + 5 * D + 7, 3),
    ],
)
def test_counts(operator, inputs, matrices):
    """Two or three matrices, 7 products, biases of both factors; torch counts the same, scripted alike."""
    own = plain(operator, **OUTPUTS)
    check_network(own)
    assert own.multiply_accumulates == matrices * inputs * 7 + 7
    assert sum(step.parameters() for step in own.steps) == matrices * inputs * 7 + 2 * 7 + 14 * operator.norm
    assert sum(step.elementwise_operations for step in own.steps) == 7 + 7  # the residual and the activation
    assert sum(step.function_evaluations for step in own.steps) == 7 * (operator.activation == "silu")


def test_dropout_is_for_training():
    """In training a share of the numbers is zero and the others grow; in evaluation and scripted nothing happens."""
    own = plain(FactorizedProduct(dropout=0.3), **OUTPUTS)
    kept = own.network.eval()(own.dense, own.sparse)
    close(kept, rebuilt(own, FactorizedProduct())(own.dense, own.sparse))
    torch.manual_seed(0)
    found = own.network.train()(own.dense, own.sparse)
    torch.manual_seed(0)
    close(found, functional.dropout(kept, 0.3))
    close(torch.jit.script(own.network)(own.dense, own.sparse), kept)


@pytest.mark.parametrize(
    "wrong", [{"source": "sparse"}, {"residual": "none"}, {"activation": "tanh"}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_impossible_options_are_refused(wrong):
    """The message names operator, option and value."""
    (name,) = wrong
    with pytest.raises(ValueError, match=f"factorized_product, {name}: "):
        FactorizedProduct(**wrong)
