"""How most dense operators of the open space end: norm, activation, dropout, each an option."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.operators.activation import ACTIVATIONS, activate
from modules.operators.layers import Layer

ENDING_OPTIONS: dict[str, tuple[Any, ...]] = {
    "norm": (False, True),
    "activation": ACTIVATIONS,
    "dropout": (0.0, 0.1, 0.2, 0.3, 0.5),
}
"""Options of an operator that ends this way, with their choices."""


def norm_or_nothing(layers: Mapping[str, Layer], norm: bool) -> Layer:
    """The layer called "norm", or a layer that changes nothing; a network keeps it under that name."""
    return layers["norm"] if norm else nn.Identity()


class Ending(nn.Module):
    """dropout(act(x)). Numbers are dropped in training only, drawn by torch's own generator; never when scripted."""

    def __init__(self, activation: str, dropout: float) -> None:
        super().__init__()
        self.activation, self.dropout = activation, dropout

    def forward(self, x: Tensor) -> Tensor:
        """[B, d] → [B, d]."""
        x = activate(x, self.activation)
        if not torch.jit.is_scripting() and self.training and self.dropout > 0:
            return functional.dropout(x, self.dropout)
        return x
