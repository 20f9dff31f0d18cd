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
    if is_for_torch(inputs[0]):
        return functional.linear(torch.cat(list(inputs), dim=-1), torch.cat(list(weights), dim=1), bias)
    rows = [part.reshape(-1, part.shape[-1]) for part in inputs]
    output: Tensor = _Linear.apply(len(rows), bias, *rows, *weights)
    return output.view(*inputs[0].shape[:-1], output.shape[-1])


def joined_linear(inputs: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same product with the inputs' slices side by side in one weight [O, Σ w_j]; on CPU nothing is joined."""
    if is_for_torch(inputs[0]):
        return functional.linear(torch.cat(list(inputs), dim=-1), weight, bias)
    rows = [part.reshape(-1, part.shape[-1]) for part in inputs]
    output: Tensor
    if torch.is_grad_enabled():
        output = _JoinedLinear.apply(weight, bias, *rows)
    else:  # the same products without autograd's bookkeeping: a twentieth of a candidate's features
        output = _sum_of_products(rows, _slices(weight, rows), bias)
    return output.view(*inputs[0].shape[:-1], output.shape[-1])


def attention(query_key_value: Tensor, heads: int) -> Tensor:
    """softmax(QKᵀ / √w) V in every head: the joined projections [B, n, 3 H w] → [B, n, H w].

    On CPU narrow heads have their own kernel, which has no gradients of gradients.
    """
    batch, tokens, joined = query_key_value.shape
    width = joined // (3 * heads)
    if is_for_torch(query_key_value) or width > WIDEST_NARROW_HEAD:
        split = query_key_value.view(batch, tokens, 3, heads, width).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)  # each [B, H, n, w]
        attended = functional.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).reshape(batch, tokens, heads * width)
    narrow: Tensor = _NarrowAttention.apply(query_key_value, heads)
    return narrow


def is_for_torch(x: Tensor) -> bool:
    """Whether torch's own kernels serve better: on CUDA few large ones do; autocast and export know only its own."""
    return x.is_cuda or torch.is_autocast_enabled(x.device.type) or torch.compiler.is_exporting()


class _Linear(torch.autograd.Function):
    """Rows of several inputs, each times its own slice of the weight.

    The slices' gradients come out row-major, so that autograd keeps them; torch's own come out column-major for a
    slice, and are copied.
    """

    @staticmethod
    def forward(ctx: Any, count: int, bias: Tensor | None, *tensors: Tensor) -> Tensor:
        ctx.count = count
        ctx.save_for_backward(*tensors)
        return _sum_of_products(tensors[:count], tensors[count:], bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count, needed = ctx.count, ctx.needs_input_grad
        rows, weights = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        return (
            None,
            gradient.sum(0) if needed[1] else None,
            *(
                aligned_product(gradient, x) if need else None
                for x, need in zip(weights, needed[2 : 2 + count], strict=True)
            ),
            *(
                aligned_product(gradient.t(), x) if need else None
                for x, need in zip(rows, needed[2 + count :], strict=True)
            ),
        )


class _JoinedLinear(torch.autograd.Function):
    """As _Linear, on one weight: neither the inputs nor their gradients are ever joined."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, *rows: Tensor) -> Tensor:
        ctx.save_for_backward(weight, *rows)
        return _sum_of_products(rows, _slices(weight, rows), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *rows = ctx.saved_tensors
        needed = ctx.needs_input_grad
        weights = _slices(weight, rows)
        return (
            _joined_gradient(weight, gradient, rows) if needed[0] else None,
            gradient.sum(0) if needed[1] else None,
            *(aligned_product(gradient, own) if need else None for own, need in zip(weights, needed[2:], strict=True)),
        )


def _slices(weight: Tensor, rows: Sequence[Tensor]) -> Sequence[Tensor]:
    """The columns of a joined weight that each of its inputs is multiplied by."""
    return weight.split([part.shape[1] for part in rows], dim=1)


def _sum_of_products(rows: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    output = functional.linear(rows[0], weights[0], bias)
    for part, weight in zip(rows[1:], weights[1:], strict=True):
        output.addmm_(part, weight.t())
    return output


def _joined_gradient(weight: Tensor, gradient: Tensor, rows: Sequence[Tensor]) -> Tensor:
    result = torch.empty_like(weight)
    for part, place in zip(rows, result.split([part.shape[1] for part in rows], dim=1), strict=True):
        place.copy_(aligned_product(gradient.t(), part))
    return result


def aligned_product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right. MKL is up to a third slower where rows of the result start unaligned, so such widths are padded."""
    width = right.shape[1]
    if width % 8 == 0:
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
        needed = ctx.needs_input_grad[0]
        columns = _columns(query_key_value, 3, heads)  # [3, B H, w, n]
        _, count, width, tokens = columns.shape
        shift = _largest_score(columns) > SAFE_EXPONENT
        attended = columns.new_empty(count, width, tokens)
        kept = []
        chunks, scores = _chunks(columns)
        for part in chunks:
            query, key, value = columns[:, part].unbind(0)
            rows = [torch.ones_like(key[:, :1]), value, *([key, _outer(key, value)] if needed else [])]
            summed = torch.bmm(torch.cat(rows, dim=1), _exponentials(query, key, shift, scores))
            means = summed[:, 1:] / summed[:, :1]
            output = means[:, :width]
            attended[part] = output
            if needed:
                covariance = means[:, 2 * width :] - _outer(means[:, width : 2 * width], output)  # [b, w², n]
                kept += [output, covariance, summed[:, :1]]
        ctx.save_for_backward(columns, *kept)
        ctx.shift, ctx.heads = shift, heads
        return _rows(attended, heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        columns, *kept = ctx.saved_tensors
        (output_gradient,) = _columns(gradient, 1, ctx.heads).unbind(0)
        result = torch.empty_like(columns)
        chunks, scores = _chunks(columns)
        for index, part in enumerate(chunks):
            query, key, value = columns[:, part].unbind(0)
            output, covariance, denominator = kept[3 * index : 3 * index + 3]
            _gradients(
                query,
                key,
                value,
                output,
                covariance,
                denominator,
                output_gradient[part],
                _exponentials(query, key, ctx.shift, scores),
                result[:, part],
            )
        return _rows(result, ctx.heads), None


def _gradients(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    covariance: Tensor,
    denominator: Tensor,
    gradient: Tensor,
    exponentials: Tensor,
    result: Tensor,
) -> None:
    """Write the gradients of query, key and value of a chunk, each [b, w, n], into the result [3, b, w, n]."""
    count, width, tokens = query.shape
    square = (count, width, width, tokens)  # [b, w of Q or K, w of V, n]
    weighted = gradient / denominator
    shared = (weighted * output).sum(1, keepdim=True)  # dO·O, divided
    rows = torch.cat([weighted, _outer(query, weighted), query * shared], dim=1)  # [b, w + w² + w, n]
    summed = torch.bmm(rows, exponentials.transpose(1, 2))
    scale = width**-0.5
    torch.mul((covariance.view(square) * gradient[:, None]).sum(2), scale, out=result[0])
    key_gradient = (summed[:, width:-width].view(square) * value[:, None]).sum(2) - summed[:, -width:]
    torch.mul(key_gradient, scale, out=result[1])
    result[2] = summed[:, :width]


def _chunks(columns: Tensor) -> tuple[list[slice], Tensor]:
    """As many rows and heads at a time as have SCORES_A_CHUNK scores, and one buffer for them."""
    _, count, _, tokens = columns.shape
    size = min(count, max(1, SCORES_A_CHUNK // tokens**2))
    buffer = columns.new_empty(size, tokens, tokens)
    return [slice(first, first + size) for first in range(0, count, size)], buffer


def _columns(x: Tensor, parts: int, heads: int) -> Tensor:
    """Tokens to the columns: [rows, n, parts · H · w] → [parts, rows · H, w, n]."""
    count, tokens, joined = x.shape
    width = joined // (parts * heads)
    split = x.view(count, tokens, parts, heads, width).permute(2, 0, 3, 4, 1)
    return split.reshape(parts, count * heads, width, tokens)


def _rows(columns: Tensor, heads: int) -> Tensor:
    """The way back: [(parts,) rows · H, w, n] → [rows, n, parts · H · w]."""
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


def _largest_score(columns: Tensor) -> float:
    """A bound on the scores as powers of 2: from the largest entries of queries and keys."""
    query, key = (max(-float(low), float(high)) for low, high in map(torch.aminmax, columns[:2]))
    return query * key * columns.shape[2] ** 0.5 * LOG2_E
