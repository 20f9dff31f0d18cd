"""FC: ReLU(LN(W x)), x the joined dense inputs (NASRec, arXiv:2207.07187)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class FullyConnected(Operator):
    """ReLU(LN(W x))."""

    name = "fc"
    title = "FC"
    outline = "rectangle"
    branch = "dense"

    def width(self, block: Choices, shape: InputShape) -> int:
        """The block's dense width d."""
        return block.dense_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The joined dense inputs."""
        return tuple(Read("dense", source) for source in block.dense_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """One projection to d, with norm and ReLU."""
        d = block.dense_width
        matrix = Matrix(inputs.dense_columns(block.dense_inputs), d)
        return (Step("project", self.reads(block), matrix, LayerNorm("norm", d), elementwise_operations=d),)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """ReLU(LN(W x))."""
        return FullyConnectedNetwork(list(block.dense_inputs), layers["project"], layers["norm"])

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int:
        """The projection's."""
        return inputs.dense_width(block.dense_inputs) * block.dense_width


class FullyConnectedNetwork(nn.Module):
    """ReLU(LN(W x))."""

    def __init__(self, inputs: list[int], project: Layer, norm: Layer) -> None:
        super().__init__()
        self.inputs, self.project, self.norm = inputs, project, norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        x = self.norm(self.project([dense[i] for i in self.inputs]))
        return x.relu() if torch.jit.is_scripting() else x.relu_()  # scripted, x may be a view of a weight
