"""The sliced product and the attention that layers and operators compute with, where torch's own cost too much.

Each is an autograd function with its gradient written out, exact to rounding in any floating type; what each saves is
in DECISIONS.md.

B batch, H heads, w head width, n tokens (sparse vectors), O outputs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

LOG2_E = 1.4426950408889634
SAFE_EXPONENT = 60.0
"""Scores below this (as powers of 2) need no shift before the exponential: sums of 2^±60 are far inside float32."""

WIDEST_NARROW_HEAD = 3
"""Head widths up to this have the kernel below: its products grow with w², SDPA's with w."""

SCORES_A_CHUNK = 2**19
"""Scores that are computed at a time: 2 MiB of float32, near the cores, at few Python calls a step."""


def linear(inputs: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    """Σ_j x_j W_jᵀ (+ b): inputs [B, …, w_j], weights [O, w_j] → [B, …, O]; on CPU nothing is joined or copied."""
    if _is_for_torch(inputs[0]):
        return functional.linear(torch.cat(list(inputs), dim=-1), torch.cat(list(weights), dim=1), bias)
    rows = [part.reshape(-1, part.shape[-1]) for part in inputs]
    output: Tensor = _Linear.apply(len(rows), bias, *rows, *weights)
    return output.view(*inputs[0].shape[:-1], output.shape[-1])


def attention(query_key_value: Tensor, heads: int) -> Tensor:
    """softmax(QKᵀ / √w) V in every head: the joined projections [B, n, 3 H w] → [B, n, H w].

    On CPU narrow heads have their own kernel, which has no gradients of gradients.
    """
    batch, tokens, joined = query_key_value.shape
    width = joined // (3 * heads)
    if _is_for_torch(query_key_value) or width > WIDEST_NARROW_HEAD:
        split = query_key_value.view(batch, tokens, 3, heads, width).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)  # each [B, H, n, w]
        attended = functional.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).reshape(batch, tokens, heads * width)
    narrow: Tensor = _NarrowAttention.apply(query_key_value, heads)
    return narrow


def _is_for_torch(x: Tensor) -> bool:
    """Whether torch's own kernels serve better: on CUDA few large ones do, and autocast knows only its own."""
    return x.is_cuda or torch.is_autocast_enabled(x.device.type)


class _Linear(torch.autograd.Function):
    """Rows of several inputs, each times its own slice of the weight.

    The slices' gradients come out row-major, so that autograd keeps them; torch's own come out column-major for a
    slice, and are copied.
    """

    @staticmethod
    def forward(ctx: Any, count: int, bias: Tensor | None, *tensors: Tensor) -> Tensor:
        rows, weights = tensors[:count], tensors[count:]
        output = functional.linear(rows[0], weights[0], bias)
        for part, weight in zip(rows[1:], weights[1:], strict=True):
            output.addmm_(part, weight.t())
        ctx.count = count
        ctx.save_for_backward(*tensors)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count, needed = ctx.count, ctx.needs_input_grad
        rows, weights = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        return (
            None,
            gradient.sum(0) if needed[1] else None,
            *(_product(gradient, x) if need else None for x, need in zip(weights, needed[2 : 2 + count], strict=True)),
            *(_product(gradient.t(), x) if need else None for x, need in zip(rows, needed[2 + count :], strict=True)),
        )


def _product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right. MKL is up to a third slower where rows of the result start unaligned, so odd widths are padded."""
    width = right.shape[1]
    if width % 2 == 0:
        return left @ right
    return (left @ functional.pad(right, [0, -width % 16]))[:, :width]


class _NarrowAttention(torch.autograd.Function):
    """Attention for narrow heads (w = 2 in NASRec), where scores and exponentials are the cost, not products.

    P = E / 1ᵀE with E = 2^(KᵀQ log₂e / √w): 2^x costs a third of torch's exp, small scores need no shift, and all work
    is done on as many rows at a time as stay in cache. Nothing of size n² is kept: the gradients need, of every
    query, only its output O and the covariance C of keys and values under P, and of every key, sums over the queries
    that one product with Eᵀ gives:

    dQ = C dO,  dV = dO Pᵀ,  dK_j = Σ_i P_ji Q_i (dO_i · (V_j − O_i)).

    Tokens stand in the columns: Q, K, V, O are [b, w, n] with a chunk's rows and heads joined in b.
    """

    @staticmethod
    def forward(ctx: Any, query_key_value: Tensor, heads: int) -> Tensor:
        batch, tokens, joined = query_key_value.shape
        width, needed = joined // (3 * heads), ctx.needs_input_grad[0]
        attended = query_key_value.new_empty(batch, tokens, heads * width)
        shift = _largest_score(query_key_value, heads) > SAFE_EXPONENT
        kept = []
        chunks, scores = _chunks(query_key_value, heads)
        for part in chunks:
            query, key, value = _columns(query_key_value[part], 3, heads).unbind(0)
            rows = [torch.ones_like(key[:, :1]), value, *([key, _outer(key, value)] if needed else [])]
            summed = torch.bmm(torch.cat(rows, dim=1), _exponentials(query, key, shift, scores))
            means = summed[:, 1:] / summed[:, :1]
            output = means[:, :width]
            attended[part] = _rows(output, heads)
            if needed:
                covariance = means[:, 2 * width :] - _outer(means[:, width : 2 * width], output)  # [b, w², n]
                kept += [output, covariance, summed[:, :1]]
        ctx.save_for_backward(query_key_value, *kept)
        ctx.shift, ctx.heads = shift, heads
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        query_key_value, *kept = ctx.saved_tensors
        heads = ctx.heads
        result = torch.empty_like(query_key_value)
        chunks, scores = _chunks(query_key_value, heads)
        for index, part in enumerate(chunks):
            query, key, value = _columns(query_key_value[part], 3, heads).unbind(0)
            output, covariance, denominator = kept[3 * index : 3 * index + 3]
            (output_gradient,) = _columns(gradient[part], 1, heads).unbind(0)
            gradients = _gradients(
                query, key, value, output, covariance, denominator, output_gradient, ctx.shift, scores
            )
            result[part] = _rows(torch.stack(gradients), heads)
        return result, None


def _gradients(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    covariance: Tensor,
    denominator: Tensor,
    gradient: Tensor,
    shift: bool,
    scores: Tensor,
) -> list[Tensor]:
    """The gradients of query, key and value of a chunk, each [b, w, n]."""
    count, width, tokens = query.shape
    square = (count, width, width, tokens)  # [b, w of Q or K, w of V, n]
    weighted = gradient / denominator
    shared = (weighted * output).sum(1, keepdim=True)  # dO·O, divided
    rows = torch.cat([weighted, _outer(query, weighted), query * shared], dim=1)  # [b, w + w² + w, n]
    summed = torch.bmm(rows, _exponentials(query, key, shift, scores).transpose(1, 2))
    query_gradient = (covariance.view(square) * gradient[:, None]).sum(2)
    key_gradient = (summed[:, width:-width].view(square) * value[:, None]).sum(2) - summed[:, -width:]
    scale = width**-0.5
    return [query_gradient * scale, key_gradient * scale, summed[:, :width]]


def _chunks(query_key_value: Tensor, heads: int) -> tuple[list[slice], Tensor]:
    """As many rows of the batch at a time as have SCORES_A_CHUNK scores, and one buffer for them."""
    batch, tokens, _ = query_key_value.shape
    rows = min(batch, max(1, SCORES_A_CHUNK // (heads * tokens**2)))
    buffer = query_key_value.new_empty(rows * heads, tokens, tokens)
    return [slice(first, first + rows) for first in range(0, batch, rows)], buffer


def _columns(x: Tensor, parts: int, heads: int) -> Tensor:
    """Tokens to the columns: [rows, n, parts · H · w] → [parts, rows · H, w, n]."""
    count, tokens, joined = x.shape
    width = joined // (parts * heads)
    split = x.view(count, tokens, parts, heads, width).permute(2, 0, 3, 4, 1)
    return split.reshape(parts, count * heads, width, tokens)


def _rows(columns: Tensor, heads: int) -> Tensor:
    """The way back: [(parts,) rows · H, w, n] → [rows, n, parts · H · w], as a view."""
    width, tokens = columns.shape[-2:]
    split = columns.view(-1, columns.shape[-3] // heads, heads, width, tokens).permute(1, 4, 0, 2, 3)
    return split.flatten(2)


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """All products of a row of the left with one of the right: [b, w, n] twice → [b, w², n]."""
    return (left[:, :, None] * right[:, None]).flatten(1, 2)


def _exponentials(query: Tensor, key: Tensor, shift: bool, buffer: Tensor) -> Tensor:
    """E [b, n keys, n queries], in the buffer; where scores are to be shifted, each query's largest is taken off."""
    scaled = query * (LOG2_E * query.shape[1] ** -0.5)
    scores = torch.bmm(key.transpose(1, 2), scaled, out=buffer[: len(query)])
    if shift:
        scores -= scores.amax(1, keepdim=True)
    return scores.exp2_()


def _largest_score(query_key_value: Tensor, heads: int) -> float:
    """A bound on the scores as powers of 2: from the lengths of the longest query and key."""
    query, key, _ = query_key_value.unflatten(2, (3, heads, -1)).unbind(2)
    width = query.shape[-1]
    return float(query.abs().amax() * key.abs().amax()) * width**0.5 * LOG2_E
