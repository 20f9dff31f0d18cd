"""The two layers that hold weights, each in two forms: owned by a module, and sliced from a supernet's weights.

Both forms of a layer are called alike, so an operator's formula is written once. B batch, w_j width of input j,
O output width; a leading D axis passes through (sparse tensors are [B, D, n], their field axis last).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.operators.kernels import joined_linear, linear

Layer = Callable[..., Tensor]
"""A layer of either form: linear layers take a list of inputs, norms take one tensor."""


class Linear(nn.Module):
    """y = [x_0 … x_m] Wᵀ (+ b) over the last axis of the joined inputs; the form that owns its weight."""

    def __init__(self, inputs: int, outputs: int, bias: bool, generator: torch.Generator | None) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)  # nn.Linear's own initialization
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Inputs [B, …, w_j] → [B, …, O]."""
        if torch.jit.is_scripting():
            return functional.linear(torch.cat(inputs, dim=-1), self.weight, self.bias)
        return joined_linear(inputs, self.weight, self.bias)


class SlicedLinear:
    """The same product on slices of a supernet's weight, one slice an input: Σ_j x_j W_jᵀ (+ b). Copies no weight."""

    def __init__(self, weights: Sequence[Tensor], bias: Tensor | None) -> None:
        self.weights, self.bias = weights, bias

    def __call__(self, inputs: list[Tensor]) -> Tensor:
        """Inputs [B, …, w_j] → [B, …, O]."""
        return linear(inputs, self.weights, self.bias)


class Norm(nn.Module):
    """Layer norm over the last axis with scale and shift (ε = 1e-5, torch's default); the form that owns them."""

    def __init__(self, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), scale))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, …, O] → [B, …, O]."""
        return functional.layer_norm(x, (x.shape[-1],), self.weight, self.bias)


class SlicedNorm:
    """The same norm on slices of a supernet's scale and shift: it runs over the active width only."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        """[B, …, O] → [B, …, O]."""
        return functional.layer_norm(x, (x.shape[-1],), self.weight, self.bias)
