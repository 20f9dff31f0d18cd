"""Linear layers of few bits in every form against a plain fake-quantized product, with gradients, in float64."""

import math

import pytest
import torch
from torch import nn

from modules.operators.low_bit import (
    CLIP_DEVIATIONS,
    UNSET,
    LowBitLinear,
    SlicedLowBitLinear,
    first_range,
    range_entry,
)
from modules.operators.precision import BITS, PRECISIONS, Precision, levels
from tests.modules.operators.test_layers import LEADING, random, same

EACH_PRECISION = pytest.mark.parametrize("precision", PRECISIONS, ids=str)


def quantized_product(x, weight, bias, input_range, precision):
    """The oracle: by values, not by integers, every gradient spelt out for torch's autograd."""
    most = levels(precision.weight_bits)
    step = weight.detach().abs().amax(1, keepdim=True) / most
    rounded = torch.where(step > 0, torch.round(weight.detach() / step) * step, torch.zeros_like(weight))
    weight = weight + (rounded - weight).detach()
    clip, most = 2**input_range, levels(precision.activation_bits)
    scaled = x / clip * most
    inside = scaled.detach().abs() < most
    near = torch.round(scaled.detach()).clamp(-most, most)
    # inside: value near, gradient by x of 1 and by the clip of near − scaled; outside: the clip with its sign
    value = torch.where(inside, scaled + (near - scaled).detach(), near) * clip / most
    return value @ weight.T + (0 if bias is None else bias)


def layer_of(precision, width, bias=True, clip=1.5, seed=0):
    """A layer with random parameters and a clip that some normal numbers exceed."""
    layer = LowBitLinear(width, 6, bias, precision, torch.Generator().manual_seed(seed)).double()
    if bias:
        nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(1))
    nn.init.constant_(layer.input_range, math.log2(clip))
    return layer


@LEADING
@EACH_PRECISION
@pytest.mark.parametrize("widths", [(4,), (3, 1, 9)], ids=str)
def test_it_is_the_fake_quantized_product(leading, widths, precision):
    """Values and gradients of inputs, weights, bias and clip; the scripted forward has the same values."""
    layer = layer_of(precision, sum(widths), bias=len(widths) > 1)
    inputs = [random(*leading, width, seed=width) for width in widths]
    expected = quantized_product(torch.cat(inputs, -1), layer.weight, layer.bias, layer.input_range, precision)
    same(layer(inputs), expected, [*inputs, *layer.parameters()])
    torch.testing.assert_close(torch.jit.script(layer)(inputs), expected, rtol=1e-12, atol=1e-12)


@EACH_PRECISION
def test_torchs_own_operations_are_the_same(precision, monkeypatch):
    """What CUDA, autocast and exporters are given has the same values and gradients."""
    layer, inputs = layer_of(precision, 13), [random(40, 4), random(40, 9, seed=1)]
    given = [*inputs, *layer.parameters()]
    ours = layer(inputs)
    monkeypatch.setattr("modules.operators.low_bit.is_for_torch", lambda x: True)
    same(ours, layer(inputs), given)


@EACH_PRECISION
def test_slices_are_quantized_over_their_whole_row(precision):
    """A sliced layer is the owned one of the joined slices: the steps come from the largest weight of all of them."""
    whole, shift, ranges = random(8, 20), random(8, seed=1), random(len(BITS), seed=2)
    columns, entry = ((2, 5), (9, 10), (12, 18)), range_entry(precision)
    inputs = [random(5, stop - start, seed=start) for start, stop in columns]
    own = LowBitLinear(10, 6, True, precision, None).double()
    with torch.no_grad():
        own.weight.copy_(torch.cat([whole[:6, start:stop] for start, stop in columns], 1))
        own.bias.copy_(shift[:6])
        own.input_range.copy_(ranges[entry])
    parts = [whole[:6, start:stop] for start, stop in columns]
    sliced = SlicedLowBitLinear(parts, shift[:6], ranges[entry], precision)
    same(sliced(inputs), own(inputs), inputs)
    sliced(inputs).sin().sum().backward()
    own(inputs).sin().sum().backward()
    joined = torch.cat([whole.grad[:6, start:stop] for start, stop in columns], 1)
    torch.testing.assert_close(joined, own.weight.grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ranges.grad[entry], own.input_range.grad, rtol=1e-12, atol=1e-12)
    assert ranges.grad.count_nonzero() == 1


@EACH_PRECISION
def test_sums_do_not_depend_on_their_order(precision):
    """In float32 the sums of integers are exact: columns in another order give the same bits, eager and scripted."""
    layer = layer_of(precision, 200).float().eval()
    x = random(64, 200).detach().float()
    order = torch.randperm(200, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        before, scripted = layer([x]), torch.jit.script(layer)([x])
        parts = layer([x[:, :70], x[:, 70:]])
        layer.weight.copy_(layer.weight[:, order])
        after = layer([x[:, order]])
    assert torch.equal(before, after) and torch.equal(before, scripted) and torch.equal(before, parts)


@pytest.mark.parametrize("bits", BITS)
def test_a_clip_begins_near_the_best_one(bits):
    """For normal numbers its squared error is at most 1.5 times that of the best clip."""
    x = random(20_000).detach()
    begun = first_range([x[:5_000], x[5_000:]], bits)

    def error(clip):
        step = clip / levels(bits)
        return float(((x / step).round().clamp(-levels(bits), levels(bits)) * step - x).square().mean())

    best = min(error(k / 20) for k in range(10, 200))
    assert error(float(2**begun)) < 1.5 * best


def test_a_clip_is_set_by_the_first_step_and_then_stays():
    """Training rows set it; rows that are only judged do not, and are quantized by their own range."""
    layer = LowBitLinear(5, 3, False, Precision(8, 4), torch.Generator().manual_seed(0))
    first, second = (scale * random(32, 5, seed=7).detach().float() for scale in (2.0, 50.0))
    with torch.no_grad():
        judged = layer([first])
    assert float(layer.input_range) == UNSET
    torch.testing.assert_close(layer([first]).detach(), judged)
    expected = math.log2(min(float(first.abs().max()), CLIP_DEVIATIONS[4] * float(first.square().mean().sqrt())))
    assert float(layer.input_range) == pytest.approx(expected, abs=1e-5)
    layer([second])
    assert float(layer.input_range) == pytest.approx(expected, abs=1e-5)


def test_zeros_are_exact():
    """Rows of zeros, weights of zeros, and inputs that are all zero before a clip was set."""
    layer = LowBitLinear(4, 3, True, Precision(4, 4), torch.Generator().manual_seed(0))
    nn.init.normal_(layer.bias)
    assert torch.equal(layer([torch.zeros(2, 4)]), layer.bias.expand(2, 3))
    nn.init.zeros_(layer.weight)
    assert torch.equal(layer([torch.randn(2, 4)]), layer.bias.expand(2, 3))


@pytest.mark.parametrize("bits", [(3, 8), (8, 9), (8.0, 8), (True, 4), ("4", 4)], ids=str)
def test_other_bits_are_refused(bits):
    """A number of bits that is no choice is named, with the choices."""
    with pytest.raises(ValueError, match=r"Precision\.(weight|activation)_bits is .*choose one of \[4, 6, 8\]"):
        Precision(*bits)
