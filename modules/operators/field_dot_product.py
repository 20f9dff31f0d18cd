"""Dot product of the open space: act(LN(W [x, inner products of all pairs of vectors])), as in DLRM (arXiv:1906.00091).

x is the joined dense inputs. The vectors are the stem's (fields and vectors made from the integers) as they are, or the
joined sparse inputs projected to `fields` vectors. Raw vectors of later blocks would have too many pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from modules.operators.activation import activation_operations
from modules.operators.ending import ENDING_OPTIONS, Ending, norm_or_nothing
from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, Options
from modules.operators.pairs import inner_products, pairs
from modules.operators.step import ComputedProduct, LayerNorm, Matrix, Step


@dataclass(frozen=True)
class FieldDotProduct(Operator):
    """act(LN(W [x, inner products of the pairs of y_1 … y_k])). Without the norm W has a bias."""

    fields: int = 0
    """Vectors k that the joined sparse inputs are projected to; 0: the vectors of the stem as they are."""
    norm: bool = True
    """Whether there is a layer norm before the activation."""
    activation: str = "relu"
    """One of `ACTIVATIONS`."""
    dropout: float = 0.0
    """Share of the output's numbers that is dropped in training."""

    name = "dot_product"
    title = "Dot product"
    outline = "hexagon"
    branch = "dense"
    options: ClassVar[Options] = {"fields": (0, 8, 16, 32), **ENDING_OPTIONS}

    def width(self, block: Choices, shape: InputShape) -> int:
        """The block's dense width d."""
        return block.dense_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The joined dense inputs, and the joined sparse inputs or the stem's vectors."""
        dense = tuple(Read("dense", source) for source in block.dense_inputs)
        if not self.fields:
            return (*dense, Read("sparse", 0, "stem"))
        return dense + tuple(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The projection of the vectors, if there is one, then the pairs and the layer.

        Pairs stand row by row below the diagonal, so that the pairs of the first vectors are the first columns. In a
        supernet those of projected vectors follow those of the stem's.
        """
        d, size, widest = block.dense_width, inputs.shape.embedding_width, inputs.sparse[0].size
        k, start, steps = inputs.shape.vectors, inputs.dense_size, list[Step]()
        dense_reads, after = self.reads(block)[: len(block.dense_inputs)], self.reads(block)[len(block.dense_inputs) :]
        waits_for: tuple[str | Read, ...] = (*dense_reads, *after)
        if self.fields:
            k, start = self.fields, start + pairs(widest)
            projection = Matrix(inputs.sparse_columns(block.sparse_inputs), k, vectors=size)
            steps.append(Step("project_fields", after, projection))
            waits_for = (*dense_reads, "project_fields")
        operations, evaluations = activation_operations(self.activation, d)
        found = ((start, start + pairs(k)),) if k > 1 else ()
        layer = Step(
            "project",
            waits_for,
            Matrix((*inputs.dense_columns(block.dense_inputs), *found), d, bias=not self.norm),
            LayerNorm("norm", d) if self.norm else None,
            computed=(ComputedProduct(k, size, k, 1, pairs(k) * size),) if k > 1 else (),
            elementwise_operations=operations,
            function_evaluations=evaluations,
        )
        return (*steps, layer)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The layer on the pairs, of projected vectors or of the stem's."""
        norm, dense = norm_or_nothing(layers, self.norm), list(block.dense_inputs)
        ending = Ending(self.activation, self.dropout)
        if self.fields:
            return ProjectedPairsNetwork(
                dense, list(block.sparse_inputs), layers["project_fields"], layers["project"], norm, ending
            )
        return StemPairsNetwork(dense, layers["project"], norm, ending)


class StemPairsNetwork(nn.Module):
    """act(LN(W [x, pairs of the stem's vectors]))."""

    def __init__(self, dense_inputs: list[int], project: Layer, norm: Layer, ending: Ending) -> None:
        super().__init__()
        self.dense_inputs, self.project = dense_inputs, project
        self.norm, self.ending = norm, ending

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        parts = [dense[i] for i in self.dense_inputs]
        if sparse[0].shape[2] > 1:
            parts.append(inner_products(sparse[0]))
        return self.ending(self.norm(self.project(parts)))


class ProjectedPairsNetwork(nn.Module):
    """act(LN(W [x, pairs of the projected vectors]))."""

    dense_inputs: list[int]
    sparse_inputs: list[int]

    def __init__(
        self,
        dense_inputs: list[int],
        sparse_inputs: list[int],
        project_fields: Layer,
        project: Layer,
        norm: Layer,
        ending: Ending,
    ) -> None:
        super().__init__()
        self.dense_inputs, self.sparse_inputs = dense_inputs, sparse_inputs
        self.project_fields, self.project = project_fields, project
        self.norm, self.ending = norm, ending

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        fields = self.project_fields([sparse[i] for i in self.sparse_inputs])  # [B, D, k]
        return self.ending(self.norm(self.project([dense[i] for i in self.dense_inputs] + [inner_products(fields)])))
