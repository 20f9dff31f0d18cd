"""The static matrices of a model, each as a module of its own.

Subnets and MLPs have them as `Linear` modules already; torchrec's low-rank cross network keeps them in parameter lists.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torchrec.modules.crossnet import LowRankCrossNet

from modules.supernet.layers import Linear


class CrossNetwork(nn.Module):
    """The function of torchrec's LowRankCrossNet, x_{l+1} = x_0 ⊙ (W V x_l + b) + x_l, with V and W as linear layers.

    The layers' paths are the parameters' own: `V_kernels.0`, `W_kernels.0`, …
    """

    def __init__(self, source: LowRankCrossNet) -> None:
        super().__init__()
        self.V_kernels = nn.ModuleList(_linear(kernel) for kernel in source.V_kernels)
        self.W_kernels = nn.ModuleList(_linear(kernel) for kernel in source.W_kernels)
        self.bias = source.bias

    def forward(self, x: Tensor) -> Tensor:
        """[B, N] -> [B, N]."""
        first = x
        for down, up, bias in zip(self.V_kernels, self.W_kernels, self.bias, strict=True):
            x = first * (up(down(x)) + bias) + x
        return x


def _linear(kernel: nn.Parameter) -> nn.Linear:
    layer = nn.Linear(kernel.shape[1], kernel.shape[0], bias=False, device="meta")
    layer.weight = kernel
    return layer


def with_matrices_as_modules(model: nn.Module) -> nn.Module:
    """A deep copy that computes the same and has every static matrix as an `nn.Linear` or a supernet `Linear`."""
    result = copy.deepcopy(model)
    for name, module in list(result.named_modules()):
        if isinstance(module, LowRankCrossNet):
            replace(result, name, CrossNetwork(module))
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
