"""Operator-balanced dot product: LN(W [x, inner products of x, y_1 … y_k]) (NASRec, arXiv:2207.07187).

x is the dense inputs projected to the embedding width D, y the sparse inputs projected to k = round(√(2d)) vectors:
that balances the operator, as its parameters grow linearly with its inputs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, unless_equal
from modules.operators.pairs import inner_products
from modules.operators.step import ComputedProduct, LayerNorm, Matrix, Step


@dataclass(frozen=True)
class DotProduct(Operator):
    """LN(W [x, inner products of the k + 1 vectors x, y_1 … y_k]), x and y normed projections of the inputs."""

    name = "dot_product"
    title = "Dot product"
    outline = "hexagon"
    branch = "dense"

    def width(self, block: Choices, shape: InputShape) -> int:
        """The block's dense width d."""
        return block.dense_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The joined dense and the joined sparse inputs."""
        dense = tuple(Read("dense", source) for source in block.dense_inputs)
        return dense + tuple(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """Both projections, then the pairs' inner products and the projection to d."""
        d, size = block.dense_width, inputs.shape.embedding_width
        k = balanced_fields(d)
        pairs = k * (k + 1) // 2
        dense, sparse = inputs.dense_columns(block.dense_inputs), inputs.sparse_columns(block.sparse_inputs)
        dense_reads = tuple(read for read in self.reads(block) if read.side == "dense")
        sparse_reads = tuple(read for read in self.reads(block) if read.side == "sparse")
        return (
            Step("project_dense", dense_reads, Matrix(dense, size), LayerNorm("norm_dense", size)),
            Step("project_fields", sparse_reads, Matrix(sparse, k, vectors=size), LayerNorm("norm_fields", k, size)),
            Step(
                "project",
                ("project_dense", "project_fields"),
                Matrix(((0, size), (size, size + pairs)), d),
                LayerNorm("norm", d),
                computed=(ComputedProduct(k + 1, size, k + 1, 1, pairs * size),),
            ),
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """LN(W [x, pairs])."""
        return DotProductNetwork(
            list(block.dense_inputs),
            list(block.sparse_inputs),
            layers["project_dense"],
            layers["norm_dense"],
            layers["project_fields"],
            layers["norm_fields"],
            layers["project"],
            layers["norm"],
        )

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int:
        """Inner products as a full square; the last projection is of the pairs alone."""
        d, size = block.dense_width, inputs.shape.embedding_width
        k = balanced_fields(d)
        dense = unless_equal(inputs.dense_width(block.dense_inputs), size)
        fields = size * unless_equal(inputs.sparse_width(block.sparse_inputs), k)
        return dense + fields + (k + 1) ** 2 * size + unless_equal(k * (k + 1) // 2, d)


class DotProductNetwork(nn.Module):
    """LN(W [x, inner products of the k + 1 vectors x, y_1 … y_k])."""

    def __init__(
        self,
        dense_inputs: list[int],
        sparse_inputs: list[int],
        project_dense: Layer,
        norm_dense: Layer,
        project_fields: Layer,
        norm_fields: Layer,
        project: Layer,
        norm: Layer,
    ) -> None:
        super().__init__()
        self.dense_inputs, self.sparse_inputs = dense_inputs, sparse_inputs
        self.project_dense, self.norm_dense = project_dense, norm_dense
        self.project_fields, self.norm_fields = project_fields, norm_fields
        self.project, self.norm = project, norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        x = self.norm_dense(self.project_dense([dense[i] for i in self.dense_inputs]))  # [B, D]
        y = self.norm_fields(self.project_fields([sparse[i] for i in self.sparse_inputs]))  # [B, D, k]
        vectors = torch.cat([x.unsqueeze(2), y], dim=2)  # [B, D, k + 1]
        return self.norm(self.project([x, inner_products(vectors)]))  # k (k + 1) / 2 inner products


def balanced_fields(dense_width: int) -> int:
    """Number k of vectors that the fields are projected to: round(√(2d)).

    >>> balanced_fields(16), balanced_fields(1024)
    (6, 45)
    """
    return round(math.sqrt(2 * dense_width))
