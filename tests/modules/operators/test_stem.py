"""The stem's MLP, what it refuses, and its JSON."""

import json

import pytest
import torch
from torch.nn.functional import silu

from modules.operators import NO_STEM, Inputs, InputShape, Linear, Stem, build, check_steps
from modules.space.plan import STEM_BLOCK

SHAPE = InputShape(3, 4, 8)


def built(stem):
    """Its network on random layers in float64, and those."""
    generator = torch.Generator().manual_seed(0)
    inputs = Inputs(stem.behind(SHAPE), (), ())
    steps = stem.steps(STEM_BLOCK, inputs)
    check_steps("stem", steps, ())
    layers = {
        step.name: Linear(step.matrix.inputs, step.matrix.outputs, step.matrix.bias, generator).double()
        for step in steps
    }
    for layer in layers.values():
        torch.nn.init.normal_(layer.bias, generator=generator)
    return build("stem", stem, STEM_BLOCK, inputs, layers), list(layers.values()), steps


@pytest.mark.parametrize(
    ("activation", "function"),
    [("none", lambda x: x), ("relu", torch.relu), ("silu", silu)],
    ids=["none", "relu", "silu"],
)
def test_formula(activation, function):
    """Hidden layers with ReLU, a last one with the activation; eager and scripted; the description is the network's."""
    network, (first, second, last), steps = built(Stem((5, 6), 2, activation))
    x = torch.randn(7, 3, dtype=torch.float64)
    hidden = torch.relu(torch.relu(x @ first.weight.T + first.bias) @ second.weight.T + second.bias)
    expected = function(hidden @ last.weight.T + last.bias)
    assert torch.allclose(network(x), expected, rtol=1e-12, atol=1e-12)
    assert torch.allclose(torch.jit.script(network)(x), expected, rtol=1e-12, atol=1e-12)
    assert sum(step.parameters() for step in steps) == sum(parameter.numel() for parameter in network.parameters())
    assert sum(step.multiply_accumulates for step in steps) == 3 * 5 + 5 * 6 + 6 * 16
    assert sum(step.elementwise_operations for step in steps) == 5 + 6 + (16 if activation != "none" else 0)


def test_stems_of_other_depths_have_other_last_layers():
    """In a supernet a shallow stem's last layer is no part of a deep one's, hidden layers are shared."""
    names = [
        {step.name for step in stem.steps(STEM_BLOCK, Inputs(stem.behind(SHAPE), (), ()))}
        for stem in (Stem((), 1), Stem((5,), 2), Stem((6, 7), 1))
    ]
    assert names[0].isdisjoint(names[1]) and names[0].isdisjoint(names[2])
    assert names[1] & names[2] == {"layers.hidden_0"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden": (5,)}, "makes no vectors"),
        ({"activation": "silu"}, "makes no vectors"),
        ({"vectors": -1}, "at least 0"),
        ({"hidden": (0,), "vectors": 1}, "at least 1"),
        ({"vectors": 1, "activation": "tanh"}, "activation: 'tanh'; it is one of"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    """A setting that would be ignored is an error too."""
    with pytest.raises(ValueError, match=message):
        Stem(**values)


@pytest.mark.parametrize("stem", [NO_STEM, Stem((), 2), Stem((5, 6), 1, "none")])
def test_json_gives_the_same_value_back(stem):
    """Through a JSON text."""
    assert Stem.from_json(json.loads(json.dumps(stem.to_json()))) == stem


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "expected an object"),
        ({"width": 1}, "expected an object with hidden, vectors and activation"),
        ({"hidden": 5, "vectors": 1}, "stem, hidden: 5"),
        ({"hidden": ["5"], "vectors": 1}, "stem, hidden"),
        ({"vectors": True}, "stem, vectors: True"),
        ({"vectors": 1, "activation": []}, "stem, activation"),
    ],
)
def test_wrong_json_is_named(data, message):
    """ValueError with the field, never another error."""
    with pytest.raises(ValueError, match=message):
        Stem.from_json(data)
