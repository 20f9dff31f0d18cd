"""Symmetric fake quantization of every static matrix of a model, at its operator's bits.

Weights are quantized per output channel, activations by a calibrated range. Products and sums are exact, so this is
what lossless converters compute. Gradients are straight-through, so the result can be trained.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.operators import Linear, LowBitLinear
from pim_codesign.checks import finite, number, whole
from pim_codesign.functional.calibration import Calibration, calibrate
from pim_codesign.functional.matrices import joined, matrices, replace

Bits = Mapping[str, tuple[int, int]]
"""Operator -> (weight bits, activation bits)."""


class QuantizedLinear(nn.Module):
    """y = Q_a(x) Q_w(W)ᵀ + b; called like the layer that it replaces, with a tensor or a list of tensors."""

    def __init__(
        self, source: nn.Linear | Linear | LowBitLinear, weight_bits: int, activation_bits: int, largest: float
    ) -> None:
        """Raises ValueError for weights that are no finite matrix, bits that are not 2 to 16, and no range."""
        super().__init__()
        whole("weight_bits", weight_bits, 2, 16)
        whole("activation_bits", activation_bits, 2, 16)
        number("the activations' range", largest, above=0)
        if source.weight.dim() != 2:
            raise ValueError(f"weights have the shape {list(source.weight.shape)}; give two dimensions, [O, I]")
        finite("weights [O, I]", source.weight)
        self.weight, self.bias = source.weight, source.bias
        self.weight_levels = 2 ** (weight_bits - 1) - 1
        self.activation_levels = 2 ** (activation_bits - 1) - 1
        self.step = largest / self.activation_levels

    def forward(self, inputs: Tensor | list[Tensor]) -> Tensor:
        """[B, …, I] → [B, …, O]."""
        x = quantize_activation(joined(inputs), self.step, self.activation_levels)
        return functional.linear(x, quantize_weight(self.weight, self.weight_levels), self.bias)


class _StraightThrough(torch.autograd.Function):
    """The value of the second argument with the gradient of the first (Bengio et al., arXiv:1308.3432)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor) -> Tensor:
        return rounded

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def quantize_activation(x: Tensor, step: float, levels: int) -> Tensor:
    """The nearest of −levels·step … levels·step; gradient 1 inside that range and 0 outside.

    torch's fused fake quantization keeps a mask and took 76 times as long on a CPU (9.9 against 0.13 ms per million
    numbers); these are four passes in place.

    >>> quantize_activation(torch.tensor([0.6, -9.0]), 0.5, 3).tolist()
    [0.5, -1.5]
    """
    rounded = (x.detach() / step).round_().clamp_(-levels, levels).mul_(step)
    if not torch.is_grad_enabled():
        return rounded
    return _StraightThrough.apply(x.clamp(-levels * step, levels * step), rounded)


def quantize_weight(weight: Tensor, levels: int) -> Tensor:
    """Each row [O, I] rounded to 2·levels + 1 evenly spaced values up to its largest magnitude; gradient 1.

    >>> quantize_weight(torch.tensor([[0.9, -1.0, 0.1]]), 1).tolist()
    [[1.0, -1.0, 0.0]]
    """
    detached = weight.detach()
    largest = detached.abs().amax(dim=1, keepdim=True)  # [O, 1]
    step = torch.where(largest == 0, torch.ones_like(largest), largest / levels)
    rounded = (detached / step).round_().mul_(step)
    return _StraightThrough.apply(weight, rounded) if torch.is_grad_enabled() else rounded


def quantize(model: nn.Module, bits: Bits, calibration: Calibration | tuple[Tensor, Tensor]) -> nn.Module:
    """A copy of a network with every static matrix at its operator's bits; the same forward.

    `bits` names operators as a `Workload` does; a matrix belongs to the operator whose path is the matrix' path or
    begins it. A matrix that was trained with these very bits stays as it is, with the clip that it learned; with others
    its weights are rounded to those, and its clip is calibrated. `calibration` comes from `calibrate`, or is a batch
    (dense, sparse) to calibrate on now. Raises ValueError for a matrix without an operator and an operator without a
    matrix, for bits that are not 2 to 16, and for weights that are not finite; each is named.
    """
    for operator, pair in bits.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"the bits of {operator!r} are {pair!r}; give (weight bits, activation bits)")
        for kind, width in zip(("weight", "activation"), pair, strict=True):
            whole(f"{kind} bits of {operator!r}", width, 2, 16)
    result = copy.deepcopy(model)
    if not isinstance(calibration, Calibration):
        widths = {activation for _, activation in bits.values()}
        calibration = calibrate(model, *calibration, activation_bits=widths)
    used = set()
    for name, matrix in list(matrices(result)):
        operator = _operator_of(name, bits)
        used.add(operator)
        weight_bits, activation_bits = bits[operator]
        finite(f"weights [O, I] of {name!r}", matrix.weight)
        if isinstance(matrix, LowBitLinear) and bits[operator] == (matrix.weight_bits, matrix.activation_bits):
            continue
        largest = calibration.range(name, activation_bits)
        replace(result, name, QuantizedLinear(matrix, weight_bits, activation_bits, largest))
    if unused := sorted(set(bits) - used):
        raise ValueError(f"bits are given for {unused}, which have no matrix in the model")
    return result


def _operator_of(matrix: str, bits: Bits) -> str:
    path = matrix
    while path:
        if path in bits:
            return path
        path = path.rpartition(".")[0]
    raise ValueError(f"no bits for the matrix {matrix!r}: give them for it or for its operator")
