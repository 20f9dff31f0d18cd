"""The static matrices of a model, each as a module of its own.

Most networks have them as linear layers already; a module that keeps them as bare parameters gives itself in this form.
"""

import copy
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from modules.operators import Linear


@runtime_checkable
class HoldsMatrices(Protocol):
    """A module that keeps matrices as bare parameters and can give its function with each as a linear layer."""

    def with_matrices_as_modules(self) -> nn.Module:
        """The same function on the same parameters; the layers' paths are the parameters' own."""
        ...


def with_matrices_as_modules(model: nn.Module) -> nn.Module:
    """A deep copy that computes the same and has every static matrix as an `nn.Linear` or a supernet `Linear`."""
    result = copy.deepcopy(model)
    if isinstance(result, HoldsMatrices):  # the model itself stands in no other module's place
        return result.with_matrices_as_modules()
    for name, module in list(result.named_modules()):
        if isinstance(module, HoldsMatrices):
            replace(result, name, module.with_matrices_as_modules())
    return result


def matrices(model: nn.Module) -> Iterator[tuple[str, nn.Linear | Linear]]:
    """Path and module of every static matrix."""
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, Linear)):
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
