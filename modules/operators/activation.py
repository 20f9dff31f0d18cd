"""The activations that an operator or the stem may choose."""

import torch
from torch import Tensor
from torch.nn import functional

ACTIVATIONS = ("none", "relu", "silu")
"""Their names; SiLU is x σ(x) (arXiv:1606.08415)."""


def activate(x: Tensor, activation: str) -> Tensor:
    """Apply the activation to the result of a layer, which it may overwrite."""
    if activation == "relu":
        return torch.relu(x) if torch.jit.is_scripting() else torch.relu_(x)  # scripted, x may be a view of a weight
    if activation == "silu":
        return functional.silu(x)
    return x


def activation_operations(activation: str, numbers: int) -> tuple[int, int]:
    """Elementwise operations and function evaluations of the activation of so many numbers.

    >>> activation_operations("relu", 8), activation_operations("silu", 8), activation_operations("none", 8)
    ((8, 0), (8, 8), (0, 0))
    """
    return (0 if activation == "none" else numbers), (numbers if activation == "silu" else 0)
