"""Pair products: the inner products of all pairs of vectors as they are, for a head or a later layer to weigh.

The vectors are the stem's (fields and vectors made from the integers), or the joined sparse inputs projected to
`fields` vectors. `FieldDotProduct` has a layer behind its pairs; here there is none, as in a factorization machine
whose pairs have a weight each (FwFM, arXiv:1806.03514).

B batch, D embedding width, k vectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from modules.operators.ending import norm_or_nothing
from modules.operators.inputs import Inputs, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, Options
from modules.operators.pairs import inner_products, pairs
from modules.operators.step import ComputedProduct, LayerNorm, Matrix, Step

MOST_FIELDS = 40
"""With more fields the stem's vectors are projected to so many. In a supernet whatever reads a dense output has columns
for the widest one, and the pairs of 100 vectors would be ten times as many numbers as other operators make."""


@dataclass(frozen=True)
class PairProducts(Operator):
    """The inner products of all pairs of y_1 … y_k: k (k − 1) / 2 numbers.

    A stem of a single vector, which has no pairs, gives that vector's product with itself.
    """

    fields: int = 0
    """Vectors k that the joined sparse inputs are projected to, at least 2; 0: the vectors of the stem, as they are
    unless there are more than `MOST_FIELDS` fields."""
    norm: bool = False
    """Whether there is a layer norm over the inner products."""

    name = "pair_products"
    title = "Pair products"
    outline = "hexagon"
    branch = "dense"
    options: ClassVar[Options] = {"fields": (0, 8, 16, 32), "norm": (False, True)}

    def __post_init__(self) -> None:
        if self.fields < 0 or self.fields == 1:
            raise ValueError(f"{self.name}, fields: {self.fields}; it is 0 or at least 2")

    def width(self, block: Choices, shape: StemShape) -> int:
        """One number a pair, at least one."""
        return max(1, pairs(self._projected(shape) or shape.vectors))

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The joined sparse inputs, or the stem's vectors."""
        if not self.fields:
            return (Read("sparse", 0, "stem"),)
        return tuple(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The projection of the vectors, if there is one, then the pairs.

        Of fewer vectors the pairs are the first numbers of the widest's. Pairs of raw vectors and of projected ones
        mean different things: each kind has a norm of its own.
        """
        k, size, count = self._projected(inputs.shape), inputs.shape.embedding_width, self.width(block, inputs.shape)
        steps = list[Step]()
        waits_for: tuple[str | Read, ...] = self.reads(block)
        if k:
            projection = Matrix(inputs.sparse_columns(self._sources(block)), k, vectors=size)
            steps.append(Step("project_fields", waits_for, projection))
            waits_for = ("project_fields",)
        norm = LayerNorm("norm_projected" if k else "norm", count) if self.norm else None
        k = k or inputs.shape.vectors
        return (*steps, Step("pairs", waits_for, norm=norm, computed=(ComputedProduct(k, size, k, 1, count * size),)))

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The pairs, of projected vectors or of the stem's."""
        if self._projected(inputs.shape):
            norm = layers["norm_projected"] if self.norm else nn.Identity()
            return ProjectedPairProductsNetwork(list(self._sources(block)), layers["project_fields"], norm)
        return StemPairProductsNetwork(norm_or_nothing(layers, self.norm))

    def _projected(self, shape: StemShape) -> int:
        """Vectors that are made by a projection; 0 where there is none."""
        return self.fields or (MOST_FIELDS if shape.fields > MOST_FIELDS else 0)

    def _sources(self, block: Choices) -> tuple[int, ...]:
        """The sparse outputs whose vectors they are."""
        return block.sparse_inputs if self.fields else (0,)


class StemPairProductsNetwork(nn.Module):
    """Inner products of all pairs of the stem's vectors."""

    def __init__(self, norm: Layer) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, k (k − 1) / 2], or [B, 1] where the stem has one vector."""
        vectors = sparse[0]  # [B, D, k]
        if vectors.shape[2] == 1:
            return self.norm(vectors.square().sum(1))
        return self.norm(inner_products(vectors))


class ProjectedPairProductsNetwork(nn.Module):
    """Inner products of all pairs of the projected vectors."""

    def __init__(self, sparse_inputs: list[int], project_fields: Layer, norm_projected: Layer) -> None:
        super().__init__()
        self.sparse_inputs, self.project_fields, self.norm_projected = sparse_inputs, project_fields, norm_projected

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, k (k − 1) / 2]."""
        vectors = self.project_fields([sparse[i] for i in self.sparse_inputs])  # [B, D, k]
        return self.norm_projected(inner_products(vectors))
