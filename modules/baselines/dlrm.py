"""DLRM (arXiv:1906.00091) and DLRM with DCN-v2 (arXiv:2008.13535), put together from torchrec.models.dlrm's blocks.

B batch, I dense inputs, F categorical fields, D embedding width, N = (F + 1) · D.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchrec.models.dlrm import DenseArch, InteractionArch, InteractionDCNArch, OverArch
from torchrec.modules.crossnet import LowRankCrossNet

from modules.baselines.initialization import drawing_from
from modules.space import InputShape


def check_layer_sizes(field: str, sizes: tuple[int, ...]) -> None:
    """Raise ValueError unless every size is at least 1."""
    if any(size < 1 for size in sizes):
        raise ValueError(f"{field} is {sizes}; every layer has at least 1 unit")


@dataclass(frozen=True)
class DLRMConfig:
    """Layer sizes; the defaults are DLRM's own for Criteo Kaggle (facebookresearch/dlrm, dlrm_s_criteo_kaggle.sh)."""

    dense_layers: tuple[int, ...] = (512, 256, 64)
    """Hidden units of the bottom MLP; a last layer of D units follows."""
    over_layers: tuple[int, ...] = (512, 256)
    """Hidden units of the top MLP, at least one layer; the logit's layer follows."""

    def __post_init__(self) -> None:
        check_layer_sizes("DLRMConfig.dense_layers", self.dense_layers)
        check_layer_sizes("DLRMConfig.over_layers", self.over_layers)
        if not self.over_layers:
            raise ValueError("DLRMConfig.over_layers is empty; torchrec's OverArch needs at least one hidden layer")


@dataclass(frozen=True)
class DCNConfig(DLRMConfig):
    """DLRM's sizes and the cross network's: three layers as in MLPerf's DLRM-DCNv2 (there for D = 128, rank 512)."""

    cross_layers: int = 3
    """Cross layers, at least 1."""
    cross_rank: int | None = None
    """Rank of the cross layers' matrices, at least 1; None for N // 4, the least that torchrec's documentation
    expects to keep a full matrix' accuracy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cross_layers < 1:
            raise ValueError(f"DCNConfig.cross_layers is {self.cross_layers}; it must be at least 1")
        if self.cross_rank is not None and self.cross_rank < 1:
            raise ValueError(f"DCNConfig.cross_rank is {self.cross_rank}; it must be at least 1, or None")


class DLRMInteraction(nn.Module):
    """What DLRM does between its embeddings and the logit: bottom MLP, all pairs' inner products, top MLP."""

    def __init__(
        self, shape: InputShape, config: DLRMConfig = DLRMConfig(), generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        fields, width = shape.fields, shape.embedding_width
        with drawing_from(generator):
            self.dense_arch = DenseArch(shape.integers, [*config.dense_layers, width])
            self.inter_arch = InteractionArch(fields)
            self.over_arch = OverArch(width + fields + fields * (fields - 1) // 2, [*config.over_layers, 1])
        self.interaction_products = fields * (fields + 1) // 2 * width
        """Multiply-accumulates a row of the inner products that are used, each pair once."""

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """(dense [B, I], sparse [B, F, D]) -> logit [B]."""
        return self.over_arch(self.inter_arch(self.dense_arch(dense), sparse)).squeeze(-1)


class DCNInteraction(nn.Module):
    """DLRM with a low-rank cross network (DCN-v2) in the place of the inner products."""

    def __init__(
        self, shape: InputShape, config: DCNConfig = DCNConfig(), generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        crossed = (shape.fields + 1) * shape.embedding_width
        rank = config.cross_rank if config.cross_rank is not None else max(1, crossed // 4)
        with drawing_from(generator):
            self.dense_arch = DenseArch(shape.integers, [*config.dense_layers, shape.embedding_width])
            crossnet = ScriptableLowRankCrossNet(crossed, config.cross_layers, rank)
            self.inter_arch = InteractionDCNArch(shape.fields, crossnet)
            self.over_arch = OverArch(crossed, [*config.over_layers, 1])
        self.interaction_products = config.cross_layers * crossed
        """Products a row of the cross layers' x₀ ⊙ (…); their matrices are counted as matrices."""

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
