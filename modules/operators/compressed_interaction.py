"""Compressed interaction, a layer of CIN: y_h = Σ_t Σ_i W_h,t,i x_t ⊙ s_i (xDeepFM, arXiv:1803.05170, equation 6).

X are the stem's vectors x_t, S the joined sparse inputs s_i; every pair's product has a weight for each output vector.
Field product (field_product.py) is its low-rank form.

B batch, D embedding width, m vectors of the stem, n sparse width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from modules.operators.activation import ACTIVATIONS, activate, activation_operations
from modules.operators.ending import norm_or_nothing
from modules.operators.inputs import Inputs, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, Options
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class CompressedInteraction(Operator):
    """act(LN(Σ_t Σ_i W_h,t,i x_t ⊙ s_i))."""

    norm: bool = True
    """Whether the sum is normed over the n vectors; CIN does without."""
    activation: str = "none"
    """What follows: "none" (CIN's, as its authors found) or "relu"."""

    name = "compressed_interaction"
    title = "CIN"
    outline = "hexagon"
    branch = "sparse"
    options: ClassVar[Options] = {"norm": (False, True), "activation": ACTIVATIONS}

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"{self.name}, activation: {self.activation!r}; it is one of {list(ACTIVATIONS)}")

    def width(self, block: Choices, shape: StemShape) -> int:
        """The block's sparse width n."""
        return block.sparse_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The stem and the joined sparse inputs."""
        return Read("sparse", 0, "stem"), *(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """S is mixed to n · m vectors; then each is multiplied with its vector of the stem, and m at a time summed."""
        n, m, size = block.sparse_width, inputs.shape.vectors, inputs.shape.embedding_width
        matrix = Matrix(inputs.sparse_columns(block.sparse_inputs), n * m, vectors=size)
        operations, evaluations = activation_operations(self.activation, n * size)
        return (
            Step(
                "project",
                self.reads(block),
                matrix,
                LayerNorm("norm", n, size) if self.norm else None,
                products=n * m * size,
                elementwise_operations=n * (m - 1) * size + operations,  # the sums of m
                function_evaluations=evaluations,
            ),
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The products, their sum, norm and activation."""
        norm = norm_or_nothing(layers, self.norm)
        return CompressedInteractionNetwork(list(block.sparse_inputs), layers["project"], norm, self.activation)


class CompressedInteractionNetwork(nn.Module):
    """act(LN(Σ_t Σ_i W_h,t,i x_t ⊙ s_i)); row h · m + t of the matrix has W_h,t."""

    def __init__(self, inputs: list[int], project: Layer, norm: Layer, activation: str) -> None:
        super().__init__()
        self.inputs, self.project, self.norm, self.activation = inputs, project, norm, activation

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, D, n]."""
        batch, size, vectors = sparse[0].shape
        mixed = self.project([sparse[i] for i in self.inputs])  # [B, D, n · m]
        mixed = mixed.view(batch, size, mixed.shape[2] // vectors, vectors)
        x = (mixed * sparse[0].unsqueeze(2)).sum(3)  # [B, D, n]
        return activate(self.norm(x), self.activation)
