"""DLRM (arXiv:1906.00091), put together from torchrec.models.dlrm's blocks.

B batch, I dense inputs, F categorical fields, D embedding width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchrec.models.dlrm import DenseArch, InteractionArch, OverArch

from modules.baselines.baseline import STEM, Baseline, check_layer_sizes, perceptron
from modules.baselines.initialization import drawing_from
from modules.operators import ComputedProduct, InputShape, Step


@dataclass(frozen=True)
class DLRM(Baseline):
    """Layer sizes; the defaults are DLRM's own for Criteo Kaggle (facebookresearch/dlrm, dlrm_s_criteo_kaggle.sh)."""

    dense_layers: tuple[int, ...] = (512, 256, 64)
    """Hidden units of the bottom MLP; a last layer of D units follows."""
    over_layers: tuple[int, ...] = (512, 256)
    """Hidden units of the top MLP, at least one layer; the logit's layer follows."""

    title = "DLRM"

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_layer_sizes(f"{name}.dense_layers", self.dense_layers)
        check_layer_sizes(f"{name}.over_layers", self.over_layers)
        if not self.over_layers:
            raise ValueError(f"{name}.over_layers is empty; torchrec's OverArch needs at least one hidden layer")

    def build(self, shape: InputShape, generator: torch.Generator | None = None) -> nn.Module:
        """Bottom MLP, all pairs' inner products, top MLP."""
        return DLRMNetwork(shape, self, generator)

    def steps(self, shape: InputShape) -> tuple[Step, ...]:
        """Both MLPs and the inner products between them, each pair once."""
        fields, size = shape.fields, shape.embedding_width
        pairs = fields * (fields + 1) // 2
        bottom = self.bottom_steps(shape)
        products = ComputedProduct(fields + 1, size, fields + 1, 1, pairs * size)
        crossed = Step("inter_arch", (STEM[1], bottom[-1].name), computed=(products,))
        return (*bottom, crossed, *self.top_steps(size + pairs, crossed.name))

    def bottom_steps(self, shape: InputShape) -> tuple[Step, ...]:
        """The layers of the bottom MLP, from the dense inputs to a D-vector."""
        sizes = (shape.integers, *self.dense_layers, shape.embedding_width)
        names = [f"dense_arch.model._mlp.{index}._linear" for index in range(len(sizes) - 1)]
        return tuple(perceptron(names, sizes, STEM[:1]))

    def top_steps(self, inputs: int, waits_for: str) -> tuple[Step, ...]:
        """The layers of the top MLP, from the crossed numbers to the logit."""
        names = [f"over_arch.model.0._mlp.{index}._linear" for index in range(len(self.over_layers))]
        return tuple(perceptron([*names, "over_arch.model.1"], (inputs, *self.over_layers, 1), (waits_for,)))


class DLRMNetwork(nn.Module):
    """What DLRM does between its embeddings and the logit."""

    def __init__(self, shape: InputShape, sizes: DLRM, generator: torch.Generator | None) -> None:
        super().__init__()
        fields, width = shape.fields, shape.embedding_width
        with drawing_from(generator):
            self.dense_arch = DenseArch(shape.integers, [*sizes.dense_layers, width])
            self.inter_arch = InteractionArch(fields)
            self.over_arch = OverArch(width + fields + fields * (fields - 1) // 2, [*sizes.over_layers, 1])

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """(dense [B, I], sparse [B, F, D]) -> logit [B]."""
        return self.over_arch(self.inter_arch(self.dense_arch(dense), sparse)).squeeze(-1)
