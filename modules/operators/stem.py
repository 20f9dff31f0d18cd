"""The stem: an MLP over the integers that makes vectors, which join the fields (DLRM's bottom MLP, arXiv:1906.00091).

B batch, I integers, D embedding width, V vectors.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from modules.operators.activation import ACTIVATIONS, activate, activation_operations
from modules.operators.inputs import Inputs, InputShape, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator
from modules.operators.step import Matrix, Step


@dataclass(frozen=True)
class Stem(Operator):
    """Hidden layers with ReLU, then a linear layer to V vectors with the activation. With V = 0 there is no layer.

    With V > 0, dense output 0 is the vectors, flattened, and sparse output 0 is the fields followed by the vectors.
    With V = 0, dense output 0 is the integers and sparse output 0 the fields.
    """

    hidden: tuple[int, ...] = ()
    """Widths of the hidden layers, each at least 1; none where there are no vectors."""
    vectors: int = 0
    """Vectors V that are made from the integers, at least 0."""
    activation: str = "relu"
    """What follows the last layer: one of `ACTIVATIONS`."""

    name = "stem"
    title = "Stem"
    outline = "rectangle"
    branch = "stem"

    def __post_init__(self) -> None:
        if self.vectors < 0 or any(width < 1 for width in self.hidden):
            raise ValueError(f"stem: {self}; a width is at least 1, the number of vectors at least 0")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"stem, activation: {self.activation!r}; it is one of {list(ACTIVATIONS)}")
        if not self.vectors and (self.hidden or self.activation != "relu"):
            raise ValueError(f"stem: {self} makes no vectors; hidden layers and activation need at least one")

    def behind(self, shape: InputShape) -> StemShape:
        """What the blocks are given."""
        return StemShape(shape.integers, shape.fields, shape.embedding_width, self.vectors)

    def dense_width(self, shape: InputShape) -> int:
        """Numbers of dense output 0."""
        return self.vectors * shape.embedding_width or shape.integers

    def width(self, block: Choices, shape: InputShape) -> int:
        """The vectors that it makes."""
        return self.vectors

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """No output: the integers are there from the beginning."""
        return ()

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The hidden layers, then the vectors'. Stems of another depth have another last layer in a supernet."""
        widths = (inputs.shape.integers, *self.hidden, self.vectors * inputs.shape.embedding_width)
        names, steps = self._layers(), list[Step]()
        for index, name in enumerate(names):
            activation = self.activation if name == names[-1] else "relu"
            operations, evaluations = activation_operations(activation, widths[index + 1])
            steps.append(
                Step(
                    name,
                    tuple(names[index - 1 : index]) if index else (),
                    Matrix(((0, widths[index]),), widths[index + 1], bias=True),
                    elementwise_operations=operations,
                    function_evaluations=evaluations,
                )
            )
        return tuple(steps)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The MLP."""
        return StemNetwork({name: layers[name] for name in self._layers()}, self.activation)

    def _layers(self) -> list[str]:
        if not self.vectors:
            return []
        hidden = (f"layers.hidden_{place}" for place in range(len(self.hidden)))
        return [*hidden, f"layers.vectors_{len(self.hidden)}"]

    def to_json(self) -> dict[str, Any]:
        """The fields that differ from their defaults; `from_json` gives it back exactly."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value != getattr(NO_STEM, name)}

    @classmethod
    def from_json(cls, data: Any) -> "Stem":
        """Read what `to_json` wrote. Raises ValueError naming the field that is wrong."""
        if not isinstance(data, dict) or not set(data) <= {field.name for field in dataclasses.fields(cls)}:
            raise ValueError(f"stem: {data!r}; expected an object with hidden, vectors and activation")
        hidden, vectors = data.get("hidden", ()), data.get("vectors", 0)
        if not isinstance(hidden, Sequence) or any(type(width) is not int for width in hidden):
            raise ValueError(f"stem, hidden: {hidden!r}; expected a list of int")
        if type(vectors) is not int:
            raise ValueError(f"stem, vectors: {vectors!r}; expected int")
        return cls(tuple(hidden), vectors, data.get("activation", "relu"))


NO_STEM = Stem()
"""No layer: the integers are dense output 0."""


class StemNetwork(nn.Module):
    """Hidden layers with ReLU, and a last layer with the activation."""

    def __init__(self, layers: Mapping[str, Layer], activation: str) -> None:
        super().__init__()
        own = {name.removeprefix("layers."): layer for name, layer in layers.items() if isinstance(layer, nn.Module)}
        # sliced layers are no modules; the two kinds are never mixed
        self.layers: Any = nn.ModuleDict(own) if own else dict(layers)
        self.last = len(layers) - 1
        self.activation = activation

    def forward(self, integers: Tensor) -> Tensor:
        """[B, I] → [B, V · D]."""
        x = integers
        for index, layer in enumerate(self.layers.values()):
            x = layer([x])
            x = activate(x, "relu" if index < self.last else self.activation)
        return x
