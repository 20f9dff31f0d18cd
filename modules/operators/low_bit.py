"""Linear layers whose weights and inputs are integers of few bits: trained with straight-through gradients.

y = s_x s_o (X Wᵀ) (+ b) with integers X = round(x / s_x), clipped, and W = round(w / s_o). Weights have a step s_o for
each output channel, from the largest weight of the active row. Inputs have one step, from a learned clip, whose binary
logarithm is the parameter: a step of any optimizer then changes it by a factor (TQT, arXiv:1903.08066), and its
gradient is LSQ's (arXiv:1902.08153). Products of the integers are exact, whatever the order of their sums, as they are
on crossbars, as long as the sums stay below 2^24 (float32).

Both forms are called as the layers of layers.py are. B batch, w_j width of input j, O outputs.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from modules.operators.kernels import aligned_product, is_for_torch
from modules.operators.layers import Linear
from modules.operators.precision import BITS, Precision, levels

INPUT_RANGE = "input_range"
"""Name of the parameter that holds the logarithms of clips, in an owned layer one, in a supernet's one for each of
`BITS`."""
UNSET = -128.0
"""What the logarithm of a clip is before the first training step that uses it: that step's inputs set it."""
LEAST_SET = -64.0
"""Logarithms below this are not set."""
CLIP_DEVIATIONS = {4: 3.0, 6: 4.0, 8: 5.5}
"""Where a clip begins, root mean squares of the inputs, at most their largest magnitude: between the best ones for a
normal and for a Laplace distribution (2.8 and 3.6 at 4 bits; ACIQ, arXiv:1810.05723)."""
LN_2 = math.log(2)


class LowBitLinear(nn.Module):
    """The layer that owns its weight and the logarithm of its clip, `input_range` [1]."""

    def __init__(
        self, inputs: int, outputs: int, bias: bool, precision: Precision, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        start = Linear(inputs, outputs, bias, generator)
        self.weight, self.bias = start.weight, start.bias
        self.input_range = nn.Parameter(torch.full((1,), UNSET))
        self.weight_bits, self.activation_bits = precision.weight_bits, precision.activation_bits
        self.weight_levels, self.levels = levels(precision.weight_bits), levels(precision.activation_bits)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Inputs [B, …, w_j] → [B, …, O]."""
        if torch.jit.is_scripting():
            return scripted_product(
                torch.cat(inputs, dim=-1), self.weight, self.bias, self.input_range, self.weight_levels, self.levels
            )
        return low_bit_product(
            inputs, [self.weight], self.bias, self.input_range, self.weight_bits, self.activation_bits
        )


class SlicedLowBitLinear:
    """The same on slices of a supernet's weight, one slice an input, and one entry of its logarithms of clips."""

    def __init__(
        self, weights: Sequence[Tensor], bias: Tensor | None, input_range: Tensor, precision: Precision
    ) -> None:
        self.weights, self.bias, self.input_range, self.precision = weights, bias, input_range, precision

    def __call__(self, inputs: list[Tensor]) -> Tensor:
        """Inputs [B, …, w_j] → [B, …, O]."""
        bits = self.precision
        return low_bit_product(
            inputs, self.weights, self.bias, self.input_range, bits.weight_bits, bits.activation_bits
        )


def range_entry(precision: Precision) -> slice:
    """Where a supernet's logarithms of clips, one for each of `BITS`, have that of these activation bits.

    >>> range_entry(Precision(4, 8))
    slice(2, 3, None)
    """
    place = BITS.index(precision.activation_bits)
    return slice(place, place + 1)


def first_range(inputs: Sequence[Tensor], bits: int) -> Tensor:
    """Logarithm of the clip with which inputs like these begin [1]; 0 where all are zero."""
    count = sum(x.numel() for x in inputs)
    square = torch.stack([x.detach().square().sum() for x in inputs]).sum() / count
    largest = torch.stack([x.detach().abs().amax() for x in inputs]).amax()
    clip = torch.minimum(largest, CLIP_DEVIATIONS[bits] * square.sqrt())
    return torch.where(clip > 0, clip, torch.ones_like(clip)).log2().view(1)


def scripted_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, input_range: Tensor, weight_levels: int, input_levels: int
) -> Tensor:
    """The forward alone, of operations that TorchScript and exporters know: [B, …, I] → [B, …, O]."""
    largest = torch.maximum(weight.amax(1, keepdim=True), -weight.amin(1, keepdim=True))
    step = torch.where(largest > 0, largest / weight_levels, torch.ones_like(largest))  # [O, 1]
    input_step = torch.exp2(input_range) / input_levels
    integers = torch.clamp(torch.round(x / input_step), -input_levels, input_levels)
    product = functional.linear(integers, torch.round(weight / step)) * (step.view(-1) * input_step)
    return product if bias is None else product + bias


def low_bit_product(
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    bias: Tensor | None,
    input_range: Tensor,
    weight_bits: int,
    activation_bits: int,
) -> Tensor:
    """Inputs [B, …, w_j] and weights [O, w_j], or one weight [O, Σ w_j] → [B, …, O]."""
    rows = [part.reshape(-1, part.shape[-1]) for part in inputs]
    if len(weights) < len(rows):
        weights = weights[0].split([part.shape[1] for part in rows], dim=1)
    bits = weight_bits, activation_bits
    if is_for_torch(inputs[0]):
        output = _torch_product(rows, weights, bias, _range(rows, input_range, activation_bits, is_waiting=False), bits)
    else:
        clip = _range(rows, input_range, activation_bits, is_waiting=True)
        output = _LowBitProduct.apply(len(rows), bits, bias, clip, *rows, *weights)
    return output.view(*inputs[0].shape[:-1], output.shape[-1])


def _range(rows: Sequence[Tensor], input_range: Tensor, bits: int, is_waiting: bool) -> Tensor:
    """The logarithm of the clip, [1], set by these rows if it was not; kept where they are rows to train on.

    `is_waiting`: the host reads it; else the rows' own is computed at every step, and a GPU is not waited for.
    """
    if torch.compiler.is_exporting() or (is_waiting and float(input_range.detach()) > LEAST_SET):
        return input_range
    found = first_range(rows, bits).to(input_range)
    known = torch.where(input_range.detach() > LEAST_SET, input_range.detach(), found)
    if not torch.is_grad_enabled() or not input_range.requires_grad:
        return known
    input_range.data.copy_(known)
    return input_range


def _steps(weights: Sequence[Tensor], bits: int) -> Tensor:
    """The step of each output channel, from the largest magnitude in its row of all slices [O, 1]."""
    each = [part.detach() for part in weights]
    highest = torch.stack([torch.maximum(part.amax(1), -part.amin(1)) for part in each]).amax(0)
    return torch.where(highest > 0, highest / levels(bits), torch.ones_like(highest))[:, None]


def _torch_product(
    rows: Sequence[Tensor],
    weights: Sequence[Tensor],
    bias: Tensor | None,
    input_range: Tensor,
    bits: tuple[int, int],
) -> Tensor:
    """By torch's own operations, which CUDA, autocast and exporters take; gradients by its autograd."""
    x, weight, most = torch.cat(list(rows), dim=-1), torch.cat(list(weights), dim=1), levels(bits[1])
    if torch.compiler.is_exporting():
        return scripted_product(x, weight, bias, input_range, levels(bits[0]), most)
    step, clip = _steps(weights, bits[0]), torch.exp2(input_range)
    inside = torch.maximum(torch.minimum(x, clip), -clip) / (clip / most)  # gradients of x, and of the clip outside
    integers = inside + (inside.round() - inside).detach()
    whole = weight / step
    product = functional.linear(integers, whole + (whole.round() - whole).detach())
    product = product * (step.view(-1) * (clip / most))
    return product if bias is None else product + bias


class _LowBitProduct(torch.autograd.Function):
    """On CPU: nothing is joined, and the gradient of the clip takes one pass over the inputs.

    With q the clipped and rounded inputs and G the gradient by y: the gradient by q is G Ŵ, of which the inputs inside
    the clip have all and the others nothing; that by the clip's logarithm is ln 2 (Σ q ⊙ G Ŵ − Σ x ⊙ its part inside),
    whose first sum is Σ Ŵ ⊙ Gᵀ q.
    """

    @staticmethod
    def forward(
        ctx: Any, count: int, bits: tuple[int, int], bias: Tensor | None, input_range: Tensor, *tensors: Tensor
    ) -> Tensor:
        rows, weights, most = tensors[:count], tensors[count:], levels(bits[1])
        step = _steps(weights, bits[0])
        input_step = torch.exp2(input_range.detach()) / most
        integers = [(part / input_step).round_().clamp_(-most, most) for part in rows]
        whole = [(part / step).round_() for part in weights]
        output = functional.linear(integers[0], whole[0])
        for part, weight in zip(integers[1:], whole[1:], strict=True):
            output.addmm_(part, weight.t())
        output.mul_(step.view(-1) * input_step)
        ctx.count, ctx.most = count, most
        ctx.save_for_backward(step, input_step, *rows, *integers, *whole)
        return output if bias is None else output.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        step, input_step, *saved = ctx.saved_tensors
        count, needed = ctx.count, ctx.needs_input_grad
        rows, integers, whole = (saved[k * count : (k + 1) * count] for k in range(3))
        clip = float(input_step) * ctx.most
        by_rows: list[Tensor | None] = []
        by_weights: list[Tensor | None] = []
        by_range = gradient.new_zeros(())
        for x, integer, weight, x_needed in zip(rows, integers, whole, needed[4 : 4 + count], strict=True):
            quantized = weight * step
            by_weight = aligned_product(gradient.t(), integer).mul_(input_step)
            by_weights.append(by_weight)
            if not (x_needed or needed[3]):
                by_rows.append(None)
                continue
            inside = torch.ops.aten.hardtanh_backward(aligned_product(gradient, quantized), x, -clip, clip)
            by_rows.append(inside if x_needed else None)
            by_range += (by_weight * quantized).sum() - torch.dot(inside.reshape(-1), x.reshape(-1))
        return (
            None,
            None,
            gradient.sum(0) if needed[2] else None,
            (by_range * LN_2).view(1) if needed[3] else None,
            *by_rows,
            *by_weights,
        )
