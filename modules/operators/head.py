"""The head: one linear layer with a bias over the dense outputs and the flattened sparse outputs that it reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import nn

from modules.operators.inputs import Columns, Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator
from modules.operators.step import Matrix, Step


@dataclass(frozen=True)
class Head(Operator):
    """logit = w [dense outputs, flattened sparse outputs] + b. Its matrix has the slots of what it reads only."""

    name = "head"
    title = "Logit"
    outline = "rectangle"
    branch = "head"

    def width(self, block: Choices, shape: InputShape) -> int:
        """One logit."""
        return 1

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """All that it joins."""
        dense = tuple(Read("dense", source) for source in block.dense_inputs)
        return dense + tuple(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The one layer, which is the head itself."""
        size = inputs.shape.embedding_width
        columns: list[Columns] = []
        start = 0
        slots = [(inputs.dense[source], 1) for source in block.dense_inputs]
        slots += [(inputs.sparse[source], size) for source in block.sparse_inputs]
        for slot, numbers in slots:
            first, last = slot.active
            columns.append((start + first * numbers, start + last * numbers))
            start += slot.size * numbers
        return (Step("", self.reads(block), Matrix(tuple(columns), 1, bias=True)),)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The linear layer itself (a sliced one is no module, but is called alike)."""
        return cast(nn.Module, layers[""])

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int:
        """The layer's."""
        sparse = inputs.sparse_width(block.sparse_inputs) * inputs.shape.embedding_width
        return inputs.dense_width(block.dense_inputs) + sparse
