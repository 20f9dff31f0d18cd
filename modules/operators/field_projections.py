"""The field projections: what joins tables of unequal widths, a learned matrix from each narrower table's width to D.

B batch, F fields, D embedding width, w_f width of field f's table, W their sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator
from modules.operators.step import Matrix, Step

STEP_SHARE = 0.05
"""What the product with a projection is multiplied by. Its weights start so much larger: under Adagrad, whose steps do
not depend on a weight's scale, a projection then changes so much more slowly than other matrices. At their rate it does
not settle, and the tables behind it do not either (DECISIONS.md, 2026-11-22)."""


@dataclass(frozen=True)
class FieldProjections(Operator):
    """e_f = .05 P_f x_f for a field whose table is narrower than D, e_f = x_f for the others."""

    widths: tuple[int, ...]
    """Width w_f of each field's table, 1 to D."""

    name = "projections"
    title = "Field projections"
    outline = "rectangle"
    branch = "projections"

    def width(self, block: Choices, shape: InputShape) -> int:
        """The vectors that it makes: one a field."""
        return len(self.widths)

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """No output: the tables' rows are there from the beginning."""
        return ()

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """A matrix for each narrower field."""
        size = inputs.shape.embedding_width
        return tuple(
            Step(f"fields.{field}", (), Matrix(((0, width),), size))
            for field, width in enumerate(self.widths)
            if width < size
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The projections side by side."""
        names = {step.name for step in self.steps(block, inputs)}
        found = [layers[name] if (name := f"fields.{field}") in names else AsIs() for field in range(len(self.widths))]
        return ProjectedFields(found, self.widths)


class AsIs(nn.Module):
    """What stands in the place of a projection that a field as wide as D does not need."""

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """The one tensor of the list."""
        return inputs[0]


class ProjectedFields(nn.Module):
    """Rows of tables of their own widths, side by side → one vector of width D a field."""

    widths: list[int]
    factors: list[float]

    def __init__(self, layers: Sequence[Layer], widths: Sequence[int]) -> None:
        super().__init__()
        self.fields = nn.ModuleList(layer for layer in layers if isinstance(layer, nn.Module))
        assert len(self.fields) == len(widths), "sliced layers have no projections: a supernet's tables are alike"
        self.widths = list(widths)
        self.factors = [1.0 if isinstance(layer, AsIs) else STEP_SHARE for layer in self.fields]

    def forward(self, rows: Tensor) -> Tensor:
        """[B, …] with W numbers in all a row, the fields' one after the other → [B, F, D]."""
        parts = rows.flatten(1).split(self.widths, dim=1)
        vectors: list[Tensor] = []
        for field, layer in enumerate(self.fields):
            vectors.append(layer([parts[field]]) * self.factors[field])
        return torch.stack(vectors, dim=1)
