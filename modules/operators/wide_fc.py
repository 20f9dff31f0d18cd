"""FC of the open space: act(LN(W [x, flattened vectors])), x the joined dense inputs; it reads the fields as well.

The vectors are the joined sparse inputs, or a linear projection of them to `fields` vectors (a deep network of the
fields, arXiv:1606.07792; projected first, as in Wukong, arXiv:2403.02545).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor, nn

from modules.operators.activation import activation_operations
from modules.operators.ending import ENDING_OPTIONS, Ending, norm_or_nothing
from modules.operators.flatten import flattened, joined
from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, Options
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class WideFullyConnected(Operator):
    """act(LN(W [x, flattened X or P X])). Without the norm W has a bias."""

    sides: str = "both"
    """Which inputs it reads: "dense", "sparse" or "both"."""
    fields: int = 0
    """Vectors that the joined sparse inputs are projected to; 0 where they are read as they are."""
    norm: bool = True
    """Whether there is a layer norm before the activation."""
    activation: str = "relu"
    """One of `ACTIVATIONS`."""
    dropout: float = 0.0
    """Share of the output's numbers that is dropped in training."""

    name = "fc"
    title = "FC"
    outline = "rectangle"
    branch = "dense"
    options: ClassVar[Options] = {"sides": ("dense", "sparse", "both"), "fields": (0, 8, 16, 32), **ENDING_OPTIONS}

    def width(self, block: Choices, shape: InputShape) -> int:
        """The block's dense width d."""
        return block.dense_width

    def canonical(self) -> Self:
        """Where it reads no sparse input, none is projected."""
        return dataclasses.replace(self, fields=0) if self.sides == "dense" else self

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The joined inputs of the sides that it reads."""
        dense, sparse = self._inputs(block)
        return (*(Read("dense", source) for source in dense), *(Read("sparse", source) for source in sparse))

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The projection of the vectors, if there is one, and the layer. In a supernet both kinds have own columns."""
        d, size = block.dense_width, inputs.shape.embedding_width
        dense, sparse = self._inputs(block)
        operations, evaluations = activation_operations(self.activation, d)
        columns, waits_for, steps = inputs.joined_columns(dense, sparse), self.reads(block), list[Step]()
        dense_reads, sparse_reads = waits_for[: len(dense)], waits_for[len(dense) :]
        after: tuple[str | Read, ...] = waits_for
        if self.fields and sparse:
            projection = Matrix(inputs.sparse_columns(sparse), self.fields, vectors=size)
            steps.append(Step("project_fields", sparse_reads, projection))
            start = inputs.joined_size
            columns = (*inputs.dense_columns(dense), (start, start + self.fields * size))
            after = (*dense_reads, "project_fields")
        layer = Step(
            "project",
            after,
            Matrix(columns, d, bias=not self.norm),
            LayerNorm("norm", d) if self.norm else None,
            elementwise_operations=operations,
            function_evaluations=evaluations,
        )
        return (*steps, layer)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The layer on flattened vectors, projected or not."""
        dense, sparse = self._inputs(block)
        norm = norm_or_nothing(layers, self.norm)
        ending = Ending(self.activation, self.dropout)
        if self.fields and sparse:
            return ProjectedNetwork(
                list(dense), list(sparse), layers["project_fields"], layers["project"], norm, ending
            )
        return WideFullyConnectedNetwork(list(dense), list(sparse), layers["project"], norm, ending)

    def _inputs(self, block: Choices) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (
            () if self.sides == "sparse" else block.dense_inputs,
            () if self.sides == "dense" else block.sparse_inputs,
        )


class WideFullyConnectedNetwork(nn.Module):
    """act(LN(W [x, flattened X]))."""

    dense_inputs: list[int]
    sparse_inputs: list[int]

    def __init__(
        self, dense_inputs: list[int], sparse_inputs: list[int], project: Layer, norm: Layer, ending: Ending
    ) -> None:
        super().__init__()
        self.dense_inputs, self.sparse_inputs = dense_inputs, sparse_inputs
        self.project, self.norm, self.ending = project, norm, ending

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        return self.ending(self.norm(self.project(joined(dense, sparse, self.dense_inputs, self.sparse_inputs))))


class ProjectedNetwork(nn.Module):
    """act(LN(W [x, flattened P X]))."""

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
        fields = self.project_fields([sparse[i] for i in self.sparse_inputs])  # [B, D, fields]
        return self.ending(self.norm(self.project([dense[i] for i in self.dense_inputs] + [flattened(fields)])))
