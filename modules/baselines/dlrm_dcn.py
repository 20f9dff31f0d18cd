"""DLRM with a low-rank cross network (DCN-v2, arXiv:2008.13535) in the place of the inner products, as in torchrec.

B batch, I dense inputs, F categorical fields, D embedding width, N = (F + 1) · D.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchrec.models.dlrm import DenseArch, InteractionDCNArch, OverArch
from torchrec.modules.crossnet import LowRankCrossNet

from modules.baselines.baseline import STEM
from modules.baselines.dlrm import DLRM
from modules.baselines.initialization import drawing_from
from modules.operators import InputShape, Matrix, Read, Step


@dataclass(frozen=True)
class DLRMDCN(DLRM):
    """DLRM's sizes and the cross network's: three layers as in MLPerf's DLRM-DCNv2 (there for D = 128, rank 512)."""

    cross_layers: int = 3
    """Cross layers, at least 1."""
    cross_rank: int | None = None
    """Rank of the cross layers' matrices, at least 1; None for N // 4, the least that torchrec's documentation
    expects to keep a full matrix' accuracy."""

    title = "DLRM + DCN-v2"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cross_layers < 1:
            raise ValueError(f"DLRMDCN.cross_layers is {self.cross_layers}; it must be at least 1")
        if self.cross_rank is not None and self.cross_rank < 1:
            raise ValueError(f"DLRMDCN.cross_rank is {self.cross_rank}; it must be at least 1, or None")

    def build(self, shape: InputShape, generator: torch.Generator | None = None) -> nn.Module:
        """Bottom MLP, cross network, top MLP."""
        return DLRMDCNNetwork(shape, self, generator)

    def crossed_width(self, shape: InputShape) -> int:
        """N = (F + 1) · D."""
        return (shape.fields + 1) * shape.embedding_width

    def rank(self, shape: InputShape) -> int:
        """Rank of the cross layers' matrices."""
        return self.cross_rank if self.cross_rank is not None else max(1, self.crossed_width(shape) // 4)

    def steps(self, shape: InputShape) -> tuple[Step, ...]:
        """Both MLPs and the cross layers between them."""
        bottom = self.bottom_steps(shape)
        crossed = tuple(self._cross_steps(shape, bottom[-1].name))
        return (*bottom, *crossed, *self.top_steps(self.crossed_width(shape), crossed[-1].name))

    def _cross_steps(self, shape: InputShape, embedded_dense: str) -> Iterator[Step]:
        """x₀ ⊙ (W V x + b) + x: one product and one sum a number beside the bias."""
        width, rank = self.crossed_width(shape), self.rank(shape)
        waits_for: tuple[str | Read, ...] = (STEM[1], embedded_dense)
        for layer in range(self.cross_layers):
            down, up = (f"inter_arch.crossnet.{kernels}.{layer}" for kernels in ("V_kernels", "W_kernels"))
            yield Step(down, waits_for, Matrix(((0, width),), rank))
            matrix = Matrix(((0, rank),), width, bias=True)
            yield Step(up, (down,), matrix, products=width, elementwise_operations=width)
            waits_for = (up,)


class DLRMDCNNetwork(nn.Module):
    """What DLRM with DCN-v2 does between its embeddings and the logit."""

    def __init__(self, shape: InputShape, sizes: DLRMDCN, generator: torch.Generator | None) -> None:
        super().__init__()
        crossed = sizes.crossed_width(shape)
        with drawing_from(generator):
            self.dense_arch = DenseArch(shape.integers, [*sizes.dense_layers, shape.embedding_width])
            crossnet = ScriptableLowRankCrossNet(crossed, sizes.cross_layers, sizes.rank(shape))
            self.inter_arch = InteractionDCNArch(shape.fields, crossnet)
            self.over_arch = OverArch(crossed, [*sizes.over_layers, 1])

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """(dense [B, I], sparse [B, F, D]) -> logit [B]."""
        return self.over_arch(self.inter_arch(self.dense_arch(dense), sparse)).squeeze(-1)


class ScriptableLowRankCrossNet(LowRankCrossNet):
    """torchrec's cross network for `torch.jit.script`, which cannot index parameter lists by a variable, as it does."""

    def forward(self, input: Tensor) -> Tensor:
        """x₀ [B, N] -> x_L [B, N], x_{l+1} = x₀ ⊙ (W_l V_l x_l + b_l) + x_l."""
        crossed = input
        for inner, outer, bias in zip(self.V_kernels, self.W_kernels, self.bias, strict=True):
            crossed = input * (nn.functional.linear(nn.functional.linear(crossed, inner), outer) + bias) + crossed
        return crossed

    def with_matrices_as_modules(self) -> nn.Module:
        """The same function on the same parameters, with every matrix as a linear layer of its own."""
        return CrossNetwork(self)


class CrossNetwork(nn.Module):
    """A cross network with V and W as linear layers; their paths are the parameters' own: `V_kernels.0`, …"""

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
