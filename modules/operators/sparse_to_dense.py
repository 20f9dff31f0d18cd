"""The sparse → dense merger: LN(W ((Σ_i v_i)² − Σ_i v_i²)), a factorization machine over the block's sparse vectors.

(Σv)² − Σv² is twice the sum of all pairs' products (NASRec, arXiv:2207.07187; Rendle 2010).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, unless_equal
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class SparseToDense(Operator):
    """All pairwise products of what the block's sparse operators make, added to the block's dense output."""

    name = "sparse_to_dense"
    title = "FM"
    outline = "chip"
    branch = "sparse_to_dense"

    def width(self, block: Choices, shape: InputShape) -> int:
        """The block's dense width d."""
        return block.dense_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """What the block's own sparse operators make."""
        return (Read("sparse", None, "own"),)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The squares, and a projection with its norm."""
        d, n, size = inputs.own_dense, inputs.own_sparse, inputs.shape.embedding_width
        return (
            Step(
                "project",
                self.reads(block),
                Matrix(((0, size),), d),
                LayerNorm("norm", d),
                products=(n + 1) * size,  # Σv² has n · D products, (Σv)² has D
                elementwise_operations=2 * n * size + d,  # both sums; the result is added to the dense output
            ),
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """LN(W ((Σv)² − Σv²))."""
        return SparseToDenseNetwork(layers["project"], layers["norm"])

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int:
        """The projection's."""
        return unless_equal(inputs.shape.embedding_width, inputs.own_dense)


class SparseToDenseNetwork(nn.Module):
    """LN(W ((Σ_i v_i)² − Σ_i v_i²))."""

    def __init__(self, project: Layer, norm: Layer) -> None:
        super().__init__()
        self.project, self.norm = project, norm

    def forward(self, sparse: Tensor) -> Tensor:
        """[B, D, n] → [B, d]."""
        pairs = sparse.sum(2).square() - sparse.square().sum(2)  # [B, D]
        return self.norm(self.project([pairs]))
