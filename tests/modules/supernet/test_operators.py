"""Each operator against its formula in search_space.md, written plainly in float64; B = 3."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from modules.supernet.layers import Linear, Norm
from modules.supernet.operators import (
    Attention,
    DenseToSparse,
    DotProduct,
    EmbeddedFullyConnected,
    FactorizationMachine,
    FullyConnected,
    SigmoidGating,
    Sum,
)

B, D = 3, 8


@pytest.fixture
def generator():
    """A seeded generator."""
    return torch.Generator().manual_seed(0)


def random(*shape, generator):
    """Normal numbers in float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def linear(inputs, outputs, generator, bias=False):
    """A layer with random weights."""
    layer = Linear(inputs, outputs, bias, generator).double()
    if bias:
        nn.init.normal_(layer.bias, generator=generator)
    return layer


def norm(width, generator):
    """A norm with random scale and shift."""
    layer = Norm(width).double()
    nn.init.normal_(layer.weight, generator=generator)
    nn.init.normal_(layer.bias, generator=generator)
    return layer


def layer_norm(x, layer):
    """The definition, with torch's ε."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def close(ours, formula):
    """Equal to rounding, with the same shape."""
    assert ours.shape == formula.shape
    assert torch.allclose(ours, formula, rtol=1e-12, atol=1e-12)


def test_fully_connected(generator):
    """ReLU(LN(W [x_0, x_2]))."""
    dense = [random(B, width, generator=generator) for width in (4, 5, 6)]
    project, normed = linear(10, 7, generator), norm(7, generator)
    x = torch.cat([dense[0], dense[2]], 1)
    close(FullyConnected([0, 2], project, normed)(dense, []), layer_norm(x @ project.weight.T, normed).clamp(min=0))


def test_dot_product(generator):
    """Pairwise inner products of x and k projected fields, pair by pair, behind x."""
    k, d = 3, 5
    dense, sparse = [random(B, 4, generator=generator)], [random(B, D, 6, generator=generator)]
    to_x, norm_x = linear(4, D, generator), norm(D, generator)
    to_y, norm_y = linear(6, k, generator), norm(k, generator)
    project, normed = linear(D + k * (k + 1) // 2, d, generator), norm(d, generator)
    operator = DotProduct([0], [0], to_x, norm_x, to_y, norm_y, project, normed)
    x = layer_norm(dense[0] @ to_x.weight.T, norm_x)
    y = layer_norm(sparse[0] @ to_y.weight.T, norm_y)
    vectors = [x] + [y[:, :, i] for i in range(k)]
    pairs = [(vectors[i] * vectors[j]).sum(1) for i in range(k + 1) for j in range(i)]
    close(operator(dense, sparse), layer_norm(torch.cat([x, torch.stack(pairs, 1)], 1) @ project.weight.T, normed))


@pytest.mark.parametrize(("left", "right"), [(6, 6), (4, 6), (6, 4)])
def test_sigmoid_gating_equals_both_padded(generator, left, right):
    """right · σ(V left + c), both padded with zeros to the wider, is what is computed on right's width alone."""
    dense = [random(B, left, generator=generator), random(B, right, generator=generator)]
    gate, project, normed = linear(left, right, generator, bias=True), linear(right, 5, generator), norm(5, generator)
    wider = max(left, right)
    square = random(wider, wider, generator=generator)  # rows beyond right multiply zeros: any values will do
    square[:right, :left] = gate.weight.detach()
    shift = torch.cat([gate.bias.detach(), random(wider - right, generator=generator)])
    padded = [functional.pad(part, (0, wider - part.shape[1])) for part in dense]
    gated = padded[1] * torch.sigmoid(padded[0] @ square.T + shift)
    widened = functional.pad(project.weight, (0, wider - right))
    close(SigmoidGating(0, 1, gate, project, normed)(dense, []), layer_norm(gated @ widened.T, normed))


@pytest.mark.parametrize(("left", "right"), [(6, 6), (4, 6), (6, 4)])
def test_sum(generator, left, right):
    """LN(W (left + right)), both padded with zeros to the wider."""
    dense = [random(B, left, generator=generator), random(B, right, generator=generator)]
    project, normed = linear(6, 5, generator), norm(5, generator)
    total = sum(functional.pad(part, (0, 6 - part.shape[1])) for part in dense)
    close(Sum(0, 1, project, normed)(dense, []), layer_norm(total @ project.weight.T, normed))


def test_embedded_fully_connected(generator):
    """ReLU(LN(W X)): linear and norm over the field axis, for every embedding dimension alike."""
    sparse = [random(B, D, 4, generator=generator), random(B, D, 3, generator=generator)]
    project, normed = linear(7, 5, generator), norm(5, generator)
    fields = torch.cat(sparse, 2)  # [B, D, 7]
    expected = torch.stack([layer_norm(fields[:, i] @ project.weight.T, normed).clamp(min=0) for i in range(D)], 1)
    close(EmbeddedFullyConnected([0, 1], project, normed)([], sparse), expected)


def test_attention(generator):
    """Projection, torch's own MultiheadAttention and two FCs, each with residual and norm."""
    n, heads = 5, 4
    sparse = [random(B, D, 6, generator=generator)]
    project, normed = linear(6, n, generator), norm(n, generator)
    query_key_value = linear(D, 3 * D, generator, bias=True)
    output, expand, contract = (linear(D, D, generator, bias=True) for _ in range(3))
    norm_attention, norm_output = norm(D, generator), norm(D, generator)
    operator = Attention(
        [0], heads, project, normed, query_key_value, output, norm_attention, expand, contract, norm_output
    )
    reference = nn.MultiheadAttention(D, heads, batch_first=True, dtype=torch.float64)
    reference.in_proj_weight, reference.in_proj_bias = query_key_value.weight, query_key_value.bias
    reference.out_proj.weight, reference.out_proj.bias = output.weight, output.bias
    x = layer_norm(sparse[0] @ project.weight.T, normed).transpose(1, 2)  # [B, n, D]
    x = layer_norm(x + reference(x, x, x)[0], norm_attention)
    hidden = (x @ expand.weight.T + expand.bias).clamp(min=0)
    x = layer_norm(x + hidden @ contract.weight.T + contract.bias, norm_output)
    close(operator([], sparse), x.transpose(1, 2))


def test_dense_to_sparse(generator):
    """LN(W x) cut into vectors of width D."""
    project, normed = linear(6, 2 * D, generator), norm(2 * D, generator)
    x = random(B, 6, generator=generator)
    merged = DenseToSparse(2, project, normed)(x)
    assert merged.shape == (B, D, 2)
    close(merged.reshape(B, 2 * D), layer_norm(x @ project.weight.T, normed))


def test_factorization_machine(generator):
    """(Σv)² − Σv² is twice the sum of all pairs' products, projected and normed."""
    project, normed = linear(D, 5, generator), norm(5, generator)
    vectors = random(B, D, 4, generator=generator)
    pairs = sum(2 * vectors[:, :, i] * vectors[:, :, j] for i in range(4) for j in range(i))
    close(FactorizationMachine(project, normed)(vectors), layer_norm(pairs @ project.weight.T, normed))
