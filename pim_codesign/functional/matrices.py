"""The static matrices of a model: its linear layers, torch's own and those of sub-networks."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from modules.operators import Linear, LowBitLinear


def matrices(model: nn.Module) -> Iterator[tuple[str, nn.Linear | Linear | LowBitLinear]]:
    """Path and module of every static matrix."""
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, Linear, LowBitLinear)):
            yield name, module


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` where `name` is in `model`."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def joined(inputs: Tensor | list[Tensor]) -> Tensor:
    """What the matrix is multiplied with: a supernet `Linear` is handed a list that it joins on the last axis."""
    if isinstance(inputs, Tensor):
        return inputs
    return inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=-1)
