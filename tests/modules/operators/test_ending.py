"""The end of an operator: activation and dropout."""

import pytest
import torch
from torch.nn.functional import silu

from modules.operators.ending import Ending


@pytest.mark.parametrize(("activation", "function"), [("none", lambda x: x), ("relu", torch.relu), ("silu", silu)])
def test_activation(activation, function):
    """The activation by its name."""
    x = torch.randn(5, 4)
    assert torch.equal(Ending(activation, 0.0)(x.clone()), function(x))


def test_dropout_is_for_training_only():
    """In training a share of the numbers is dropped, the others are scaled; in evaluation and scripted none is."""
    torch.manual_seed(0)
    ending, x = Ending("none", 0.3), torch.ones(100, 100)
    dropped = ending(x)
    assert abs(float((dropped == 0).float().mean()) - 0.3) < 0.02
    assert torch.allclose(dropped[dropped != 0], torch.tensor(1 / 0.7))
    assert torch.equal(torch.jit.script(ending)(x), x)
    assert torch.equal(ending.eval()(x), x)
