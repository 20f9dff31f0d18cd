"""The head: one linear layer with a bias over the dense outputs and the flattened sparse outputs that it reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import nn

from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator
from modules.operators.step import Matrix, Step


@dataclass(frozen=True)
class Head(Operator):
    """logit = w [dense outputs, flattened sparse outputs] + b. Raises ValueError where it reads nothing."""

    dense: tuple[int, ...]
    """Dense outputs that it reads, ascending; 0 is the stem's."""
    sparse: tuple[int, ...]
    """Sparse outputs that it reads, ascending; 0 is the stem's."""

    name = "head"
    title = "Logit"
    outline = "rectangle"
    branch = "head"

    def __post_init__(self) -> None:
        if not self.dense and not self.sparse:
            raise ValueError("the head reads nothing; give at least one dense or sparse output")
        for side in ("dense", "sparse"):
            outputs = getattr(self, side)
            if list(outputs) != sorted(set(outputs)):
                raise ValueError(f"head, {side}: {list(outputs)}; list each output once, ascending")

    def width(self, block: Choices, shape: InputShape) -> int:
        """One logit."""
        return 1

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """All that it joins."""
        dense = tuple(Read("dense", source) for source in self.dense)
        return dense + tuple(Read("sparse", source) for source in self.sparse)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The one layer, which is the head itself."""
        return (Step("", self.reads(block), Matrix(inputs.joined_columns(self.dense, self.sparse), 1, bias=True)),)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The linear layer itself (a sliced one is no module, but is called alike)."""
        return cast(nn.Module, layers[""])

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int:
        """The layer's."""
        return inputs.dense_width(self.dense) + inputs.sparse_width(self.sparse) * inputs.shape.embedding_width
