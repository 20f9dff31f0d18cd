"""The two layers in both forms against torch's own, with gradients, in float64."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from modules.operators.layers import Linear, Norm, SlicedLinear, SlicedNorm

LEADING = pytest.mark.parametrize("leading", [(5,), (3, 2)], ids=["dense", "sparse"])


def random(*shape, seed=0):
    """Normal numbers in float64 that want gradients."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def same(ours, theirs, given) -> None:
    """Equal values, and equal gradients of everything given."""
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    found, expected = (torch.autograd.grad(output.sin().sum(), given, retain_graph=True) for output in (ours, theirs))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@LEADING
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("widths", [(4,), (3, 1, 2)], ids=str)
def test_linear_is_torchs_on_the_joined_inputs(leading, bias, widths):
    """Values, all gradients, and the scripted form."""
    layer = Linear(sum(widths), 3, bias, torch.Generator().manual_seed(0)).double()
    if bias:
        nn.init.normal_(layer.bias)
    inputs = [random(*leading, width, seed=width) for width in widths]
    expected = functional.linear(torch.cat(inputs, -1), layer.weight, layer.bias)
    same(layer(inputs), expected, [*inputs, *layer.parameters()])
    same(torch.jit.script(layer)(inputs), expected, [*inputs, *layer.parameters()])


@LEADING
@pytest.mark.parametrize("bias", [True, False])
def test_a_sliced_linear_is_a_linear_layer_of_the_slices(leading, bias):
    """It computes what a layer that owns copies of the slices does; its gradients reach those slices alone."""
    whole, shift = random(8, 20), random(8, seed=1)
    columns, rows = ((2, 5), (9, 10), (12, 18)), 6
    inputs = [random(*leading, stop - start, seed=start) for start, stop in columns]
    own = Linear(10, rows, bias, None).double()
    with torch.no_grad():
        own.weight.copy_(torch.cat([whole[:rows, start:stop] for start, stop in columns], 1))
        if bias:
            own.bias.copy_(shift[:rows])
    sliced = SlicedLinear([whole[:rows, start:stop] for start, stop in columns], shift[:rows] if bias else None)
    same(sliced(inputs), own(inputs), inputs)
    sliced(inputs).sin().sum().backward()
    own(inputs).sin().sum().backward()
    expected = torch.zeros_like(whole)
    for (start, stop), part in zip(columns, own.weight.grad.split([b - a for a, b in columns], 1), strict=True):
        expected[:rows, start:stop] = part
    torch.testing.assert_close(whole.grad, expected, rtol=1e-12, atol=1e-12)
    if bias:
        torch.testing.assert_close(shift.grad[:rows], own.bias.grad, rtol=1e-12, atol=1e-12)
        assert not shift.grad[rows:].any()


@LEADING
def test_norm_is_torchs_layer_norm(leading):
    """With the same scale and shift, over the last axis only, eager and scripted."""
    ours, theirs, x = Norm(4).double(), nn.LayerNorm(4).double(), random(*leading, 4)
    for name, parameter in ours.named_parameters():
        nn.init.normal_(parameter)
        getattr(theirs, name).data = parameter.data
    same(ours(x), theirs(x), [x])
    same(torch.jit.script(ours)(x), theirs(x), [x])
    found = torch.autograd.grad(ours(x).sin().sum(), list(ours.parameters()))
    expected = torch.autograd.grad(theirs(x).sin().sum(), list(theirs.parameters()))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@LEADING
def test_a_sliced_norm_is_a_norm_of_the_active_width(leading):
    """It computes what torch's norm of that width does; the rest of a supernet's scale and shift gets no gradient."""
    scale, shift, x = random(9, seed=1), random(9, seed=2), random(*leading, 5)
    theirs = functional.layer_norm(x, (5,), scale[:5], shift[:5])
    same(SlicedNorm(scale[:5], shift[:5])(x), theirs, [x, scale, shift])
    SlicedNorm(scale[:5], shift[:5])(x).sin().sum().backward()
    for whole in (scale, shift):
        assert whole.grad[:5].all() and not whole.grad[5:].any()


def test_first_weights_are_those_of_torchs_linear_layer():
    """Drawn from the generator given as nn.Linear draws its own from the global one; biases are zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        theirs = nn.Linear(6, 5)
        torch.manual_seed(7)
        from_global = Linear(6, 5, True, None)
    before = torch.get_rng_state()
    ours = Linear(6, 5, True, torch.Generator().manual_seed(7))
    assert torch.equal(before, torch.get_rng_state())
    for layer in (ours, from_global):
        torch.testing.assert_close(layer.weight, theirs.weight)
        assert not layer.bias.any()


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_a_first_norm_scales_by_what_is_given(scale):
    """Before training its result has the mean 0 and, but for ε, the standard deviation `scale`."""
    normed = Norm(64, scale)(100 * random(3, 64).float() + 7)
    torch.testing.assert_close(normed.mean(-1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.std(-1, correction=0), torch.full((3,), scale), atol=1e-5, rtol=0)
