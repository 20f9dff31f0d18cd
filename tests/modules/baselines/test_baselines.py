"""The table of baselines: every entry builds, scripts, trains and draws its weights from the generator given."""

import pytest
import torch

from modules.baselines import BASELINES
from modules.space import InputShape


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("shape", [InputShape(13, 26, 16), InputShape(1, 1, 1), InputShape(2, 3, 5)])
def test_scripted_equals_eager(name: str, shape: InputShape) -> None:
    """torch.jit.script takes every baseline at any shape and computes the same logits, for any batch size."""
    eager = BASELINES[name].build(shape, torch.Generator().manual_seed(1))
    scripted = torch.jit.script(eager)
    for batch in (1, 6):
        dense = torch.randn(batch, shape.integers)
        sparse = torch.randn(batch, shape.fields, shape.embedding_width)
        torch.testing.assert_close(scripted(dense, sparse), eager(dense, sparse))
        assert eager(dense, sparse).shape == (batch,)


@pytest.mark.parametrize("name", BASELINES)
def test_weights_come_from_the_generator(name: str) -> None:
    """Equal seeds give equal weights, others give others, and torch's global generator does not move."""
    shape = InputShape(2, 3, 4)
    before = torch.get_rng_state()
    first, again, other = (BASELINES[name].build(shape, torch.Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert torch.equal(before, torch.get_rng_state())
    weights = [torch.cat([p.flatten() for p in model.parameters()]) for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", BASELINES)
def test_every_parameter_and_both_inputs_get_a_gradient(name: str) -> None:
    """The logit depends on every weight, on the dense inputs and on the embeddings."""
    shape = InputShape(2, 3, 4)
    model = BASELINES[name].build(shape, torch.Generator().manual_seed(2)).double()
    dense = torch.randn(64, 2, dtype=torch.float64, requires_grad=True)
    sparse = torch.randn(64, 3, 4, dtype=torch.float64, requires_grad=True)
    model(dense, sparse).sum().backward()
    for tensor in (dense, sparse, *model.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0
