"""Sum: LN(W (left + right)), both operands padded with zeros to the wider (NASRec, arXiv:2207.07187)."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, unless_equal
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class Sum(Operator):
    """LN(W (left + right))."""

    name = "sum"
    title = "Sum"
    outline = "ellipse"
    branch = "dense"

    def width(self, block: Choices, shape: InputShape) -> int:
        """The block's dense width d."""
        return block.dense_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The left and the right operand."""
        return Read("dense", block.left, "left"), Read("dense", block.right, "right")

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The sum over the wider width, and its projection to d."""
        d, wider = block.dense_width, self._wider(block, inputs)
        matrix = Matrix(((0, wider),), d)
        return (Step("project", self.reads(block), matrix, LayerNorm("norm", d), elementwise_operations=wider),)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """LN(W (left + right))."""
        return SumNetwork(block.left, block.right, layers["project"], layers["norm"])

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int:
        """The projection's."""
        return unless_equal(self._wider(block, inputs), block.dense_width)

    def _wider(self, block: Choices, inputs: Inputs) -> int:
        return max(inputs.dense[block.left].width, inputs.dense[block.right].width)


class SumNetwork(nn.Module):
    """LN(W (left + right)), both padded with zeros to the wider."""

    def __init__(self, left: int, right: int, project: Layer, norm: Layer) -> None:
        super().__init__()
        self.left, self.right = left, right
        self.project, self.norm = project, norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        left, right = dense[self.left], dense[self.right]
        width = max(left.shape[1], right.shape[1])
        total = functional.pad(left, [0, width - left.shape[1]]) + functional.pad(right, [0, width - right.shape[1]])
        return self.norm(self.project([total]))
