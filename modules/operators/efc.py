"""EFC, embedded fully connected: ReLU(LN(W X)), linear over the field axis (NASRec, arXiv:2207.07187)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class EmbeddedFullyConnected(Operator):
    """ReLU(LN(W X)), X the joined sparse inputs, W over their vectors."""

    name = "efc"
    title = "EFC"
    outline = "rectangle"
    branch = "sparse"

    def width(self, block: Choices, shape: InputShape) -> int:
        """The block's sparse width n."""
        return block.sparse_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The joined sparse inputs."""
        return tuple(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """One projection to n vectors, for each of the D embedding dimensions, with norm and ReLU."""
        n, size = block.sparse_width, inputs.shape.embedding_width
        matrix = Matrix(inputs.sparse_columns(block.sparse_inputs), n, vectors=size)
        return (
            Step("project", self.reads(block), matrix, LayerNorm("norm", n, size), elementwise_operations=n * size),
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """ReLU(LN(W X))."""
        return EmbeddedFullyConnectedNetwork(list(block.sparse_inputs), layers["project"], layers["norm"])

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int:
        """The projection's."""
        return inputs.shape.embedding_width * inputs.sparse_width(block.sparse_inputs) * block.sparse_width


class EmbeddedFullyConnectedNetwork(nn.Module):
    """ReLU(LN(W X)), linear over the field axis."""

    def __init__(self, inputs: list[int], project: Layer, norm: Layer) -> None:
        super().__init__()
        self.inputs, self.project, self.norm = inputs, project, norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, D, n]."""
        x = self.norm(self.project([sparse[i] for i in self.inputs]))
        return x.relu() if torch.jit.is_scripting() else x.relu_()  # scripted, x may be a view of a weight
