"""Activations against their formulas, and what they cost against what they compute."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.operators.activation import ACTIVATIONS, activate, activation_operations

FORMULAS = {"none": lambda x: x, "relu": lambda x: x.clamp(min=0), "silu": lambda x: x / (1 + torch.exp(-x))}


def numbers() -> torch.Tensor:
    """Both signs, in float64, with gradients; not a leaf, so that it may be overwritten."""
    return torch.linspace(-4, 4, 12, dtype=torch.float64).view(3, 4).requires_grad_()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_their_formulas(activation):
    """Values and gradients in float64, eager and scripted."""
    x = numbers()
    expected = FORMULAS[activation](x)
    slopes = torch.autograd.grad(expected.sin().sum(), x)[0]
    for function in (activate, torch.jit.script(activate)):
        found = function(x * 1, activation)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(torch.autograd.grad(found.sin().sum(), x)[0], slopes, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_costs_nothing_changes_nothing(activation):
    """Only the identity has no operations; what evaluates no function is linear on each side of zero, and no other."""
    x = numbers().detach()
    operations, evaluations = activation_operations(activation, x.numel())
    once, twice = activate(x.clone(), activation), activate(2 * x, activation)
    assert (operations == 0) == torch.equal(once, x)
    assert (evaluations == 0) == torch.allclose(twice, 2 * once)


@given(st.sampled_from(ACTIVATIONS), st.integers(0, 99), st.integers(0, 99))
def test_costs_add_up(activation, one, other):
    """Two tensors cost together what they cost apart."""
    apart = zip(activation_operations(activation, one), activation_operations(activation, other), strict=True)
    assert activation_operations(activation, one + other) == tuple(map(sum, apart))
