"""The kernels against torch: values, and gradients by gradcheck and by autograd through the plain formula."""

import pytest
import torch
from torch.nn import functional

from modules.operators import kernels
from modules.operators.kernels import attention, joined_linear, linear


def random(*shape, seed=0, scale=1.0):
    """Normal numbers in float64 that want gradients."""
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).requires_grad_()


def plain_attention(query_key_value, heads):
    """softmax(QKᵀ / √w) V, written out."""
    batch, tokens, joined = query_key_value.shape
    split = query_key_value.view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = split.unbind(0)
    weights = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(-1)
    return (weights @ value).transpose(1, 2).reshape(batch, tokens, joined // 3)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("scale", [0.5, 2.0, 30.0], ids=["flat", "peaked", "shifted"])
def test_attention_is_the_formula(width, scale, monkeypatch):
    """Any head width, small and large scores, a batch in several chunks of which the last is shorter."""
    monkeypatch.setattr(kernels, "SCORES_A_CHUNK", 2 * 4 * 6**2)
    joined = random(5, 6, 3 * 4 * width, scale=scale)
    gradient = random(5, 6, 4 * width, seed=1).detach()
    ours, theirs = attention(joined, 4), plain_attention(joined, 4)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12 * scale)
    found, expected = (torch.autograd.grad(output, joined, gradient)[0] for output in (ours, theirs))
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-11 * scale**2)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_attention_passes_gradcheck(width):
    """The written gradients are those of the function."""
    assert torch.autograd.gradcheck(lambda x: attention(x, 2), random(2, 4, 3 * 2 * width))


def test_attention_rounds_as_torch_does():
    """In float32 with 64 tokens the kernel is no further from float64 than four times torch's own."""
    joined, gradient = random(8, 64, 48, scale=2.0) + 1, random(8, 64, 16, seed=1).detach()

    def run(function, dtype):
        x = joined.detach().clone().to(dtype).requires_grad_()
        output = function(x)
        output.backward(gradient.to(dtype))
        return output.double(), x.grad.double()

    def torch_attention(x):
        query, key, value = x.view(8, 64, 3, 8, 2).permute(2, 0, 3, 1, 4).unbind(0)
        return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(8, 64, 16)

    exact = run(lambda x: plain_attention(x, 8), torch.float64)
    ours, theirs = run(lambda x: attention(x, 8), torch.float32), run(torch_attention, torch.float32)
    for mine, other, true in zip(ours, theirs, exact, strict=True):
        assert (mine - true).norm() < 4 * (other - true).norm()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("leading", [(5,), (3, 2)], ids=["dense", "sparse"])
def test_joined_linear_is_the_joined_product(bias, leading):
    """Several inputs on one weight: values and all gradients of the joined product, also where none is asked for."""
    inputs = [random(*leading, width, seed=index) for index, width in enumerate((3, 1, 8))]
    weight, shift = random(6, 12, seed=7), random(6, seed=8) if bias else None
    ours = joined_linear(inputs, weight, shift)
    theirs = functional.linear(torch.cat(inputs, -1), weight, shift)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(joined_linear(inputs, weight, shift), ours)
    for wanted in ([*inputs, weight, *([shift] if bias else [])], inputs[1:2], [weight]):
        found, expected = (torch.autograd.grad(o.sin().sum(), wanted, retain_graph=True) for o in (ours, theirs))
        assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in zip(found, expected, strict=True))
    frozen = joined_linear([inputs[0].detach(), *inputs[1:]], weight.detach(), None)
    assert torch.allclose(torch.autograd.grad(frozen.sum(), inputs[1])[0], weight[:, 3:4].sum(0).expand(*leading, 1))
    assert torch.autograd.gradcheck(lambda weight, *parts: joined_linear(parts, weight, shift), [weight, *inputs])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("leading", [(5,), (3, 2)], ids=["dense", "sparse"])
def test_linear_is_the_joined_product(bias, leading):
    """Several inputs on slices of one weight: values and all gradients of the joined product."""
    widths, outputs = (3, 1, 8), 6
    inputs = [random(*leading, width, seed=index) for index, width in enumerate(widths)]
    whole, shift = random(10, 20, seed=7), random(outputs, seed=8) if bias else None
    slices = [whole[:outputs, 6 * index : 6 * index + width] for index, width in enumerate(widths)]
    ours = linear(inputs, slices, shift)
    theirs = functional.linear(torch.cat(inputs, -1), torch.cat(slices, 1), shift)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    wanted = [*inputs, whole, *([shift] if bias else [])]
    found, expected = (torch.autograd.grad(output.sin().sum(), wanted) for output in (ours, theirs))
    assert all(torch.allclose(one, other, rtol=1e-12, atol=1e-12) for one, other in zip(found, expected, strict=True))
    assert torch.autograd.gradcheck(lambda *tensors: linear(tensors[:3], tensors[3:], shift), [*inputs, *slices])


def test_slices_gradients_are_kept_not_copied():
    """The gradient of a leaf that is a strided slice is the very memory the product wrote: autograd clones nothing."""
    whole = torch.randn(8, 20)
    leaf = whole[:4, 3:11].requires_grad_()
    loss = linear([torch.randn(7, 8)], [leaf], None).square().sum()
    with torch.profiler.profile() as recorded:
        loss.backward()
    assert "aten::clone" not in {event.key for event in recorded.key_averages()}
    assert leaf.grad is not None and leaf.grad.is_contiguous()
