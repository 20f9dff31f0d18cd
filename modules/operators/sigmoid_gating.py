"""Sigmoid gating: LN(W (right · σ(V left + c))), operands padded with zeros to the wider (NASRec, arXiv:2207.07187).

Where the right operand is padding the product is zero whatever the gate, so only its own width r is computed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, unless_equal
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class SigmoidGating(Operator):
    """LN(W (right · σ(V left + c)))."""

    name = "sigmoid_gating"
    title = "Gating"
    outline = "hexagon"
    branch = "dense"

    def width(self, block: Choices, shape: InputShape) -> int:
        """The block's dense width d."""
        return block.dense_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The left and the right operand."""
        return Read("dense", block.left, "left"), Read("dense", block.right, "right")

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The gate with its sigmoid, then the product and the projection to d."""
        d, left, right = block.dense_width, inputs.dense[block.left].width, inputs.dense[block.right].width
        left_read, right_read = self.reads(block)
        gate = Matrix(((0, left),), right, bias=True)
        return (
            Step("gate", (left_read,), gate, elementwise_operations=right, function_evaluations=right),
            Step("project", ("gate", right_read), Matrix(((0, right),), d), LayerNorm("norm", d), products=right),
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """LN(W (right · σ(V left + c)))."""
        return SigmoidGatingNetwork(block.left, block.right, layers["gate"], layers["project"], layers["norm"])

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int:
        """Gate and projection over the padded width."""
        padded = max(inputs.dense[block.left].width, inputs.dense[block.right].width)
        return padded * padded + unless_equal(padded, block.dense_width)


class SigmoidGatingNetwork(nn.Module):
    """LN(W (right · σ(V left + c))), r the right operand's width."""

    def __init__(self, left: int, right: int, gate: Layer, project: Layer, norm: Layer) -> None:
        super().__init__()
        self.left, self.right = left, right
        self.gate, self.project, self.norm = gate, project, norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        gated = dense[self.right] * torch.sigmoid(self.gate([dense[self.left]]))  # [B, r]
        return self.norm(self.project([gated]))
