"""What an operator is: one file that says everything about it.

An operator is a value: frozen, hashable, equal to another of its own type with the same options. Its layers are
described once, by `steps`; how it is built, counted, put on a chip and profiled follows from that description. To add
one, write a file beside this one with a subclass of `Operator`, and name it in a `SearchSpace`.

B batch, D embedding width, d dense width, n sparse width (vectors). Dense outputs are [B, d]; sparse outputs are
[B, D, n], the field axis last, so that a linear layer over fields is a plain one.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Protocol, Self

from torch import nn

from modules.operators.inputs import Inputs, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.step import Step

Branch = Literal["projections", "stem", "dense", "sparse", "dense_to_sparse", "sparse_to_dense", "head"]
"""What an operator makes: the fields' vectors, the stem's vectors, a dense output, a sparse output, more vectors of the
block's sparse output, a term of the block's dense output, or the logit."""

Options = Mapping[str, tuple[Any, ...]]
"""The choices of each option by its name."""

Outline = Literal["rectangle", "hexagon", "ellipse", "chip"]
"""The shape of an operator in a picture: a rectangle for a linear layer, a hexagon where computed numbers are
multiplied with one another, an ellipse for a sum, a chip (a small label on a connection) for a merger."""


class Choices(Protocol):
    """What an operator may know of its block: widths and connections (`Block` in modules/space has them)."""

    @property
    def dense_width(self) -> int:
        """Width d of the block's dense output."""
        ...

    @property
    def sparse_width(self) -> int:
        """Vectors n of the block's sparse output, before its merger's."""
        ...

    @property
    def dense_inputs(self) -> tuple[int, ...]:
        """Dense outputs to join, ascending."""
        ...

    @property
    def sparse_inputs(self) -> tuple[int, ...]:
        """Sparse outputs to join, ascending."""
        ...

    @property
    def left(self) -> int:
        """Dense output on the left of an operator with two operands."""
        ...

    @property
    def right(self) -> int:
        """Dense output on the right of an operator with two operands."""
        ...


class Operator(ABC):
    """One choice of a block. Subclasses are frozen dataclasses; one that lacks a part cannot be constructed."""

    options: ClassVar[Options] = {}
    """The choices of each field that a search chooses, ascending where they size a matrix: the last is the widest.

    A supernet has the layers of all `variants`. A layer that two variants have is shared, the smaller one's is a
    rectangle of the larger one's; what should not be shared has another name or other columns.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in JSON files and in the paths of parameters."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What tables and pictures call it."""

    @property
    @abstractmethod
    def outline(self) -> Outline:
        """Its shape in a picture."""

    @property
    @abstractmethod
    def branch(self) -> Branch:
        """What it makes."""

    @abstractmethod
    def width(self, block: Choices, shape: StemShape) -> int:
        """Width of what it makes: numbers of a dense output, vectors of a sparse one."""

    @abstractmethod
    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The outputs that it reads."""

    @abstractmethod
    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """Its layers in the order of computing, on the inputs that `reads` names."""

    @abstractmethod
    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The module that computes it; `torch.jit.script` must take it.

        `layers` has a linear layer for every step with a matrix and a norm for every step with one, by the names in
        `steps`. Linear layers take a list of tensors, one for each range of their columns; norms take one tensor.
        `forward` takes the lists of all earlier dense and sparse outputs (a merger: the output it merges).
        """

    def widest(self) -> Self:
        """The same operator with every option at its last choice."""
        return self.with_options({name: choices[-1] for name, choices in self.options.items()})

    def variants(self) -> tuple[Self, ...]:
        """The widest, and those that differ from it in one option: together they have every layer at its largest."""
        widest = self.widest()
        others = [widest.with_options({name: value}) for name, values in self.options.items() for value in values[:-1]]
        return (widest, *others)

    def defaults(self) -> dict[str, Any]:
        """The options' defaults by name: a searched space lists the operator with these."""
        fields = dataclasses.fields(self) if self.options else ()  # type: ignore[arg-type]
        return {field.name: field.default for field in fields if field.name in self.options}

    def chosen(self) -> dict[str, Any]:
        """The options' values by name."""
        return {name: getattr(self, name) for name in self.options}

    def with_options(self, values: Mapping[str, Any]) -> Self:
        """The same operator with these options. Raises ValueError for an option or a value that is no choice."""
        for name, value in values.items():
            if name not in self.options:
                raise ValueError(f"{self.name} has no option {name!r}; it has {list(self.options)}")
            if not any(type(value) is type(choice) and value == choice for choice in self.options[name]):
                raise ValueError(f"{self.name}, {name}: {value!r} is no choice; it has {list(self.options[name])}")
        return dataclasses.replace(self, **values) if values else self  # type: ignore[type-var]

    def is_variant_of(self, other: "Operator") -> bool:
        """Whether the two differ in nothing but options, and the options' values are choices."""
        if type(self) is not type(other):
            return False
        try:
            return other.with_options(self.chosen()) == self
        except ValueError:
            return False

    def canonical(self) -> Self:
        """The same operator with every option that changes nothing, given the others, at one fixed choice."""
        return self

    def to_json(self) -> Any:
        """Its name, or where options differ from their defaults an object with the name and those options."""
        changed = {name: value for name, value in self.chosen().items() if value != self.defaults()[name]}
        return {"name": self.name, **changed} if changed else self.name

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int | None:
        """What the authors' counter (fvcore on their own network) counts; None for an operator that is not theirs.

        There a projection is left out where the widths already agree, elementwise products are free, and a norm that
        their final networks have takes five operations a number.
        """
        return None

    def nasrec_attention_products(self, block: Choices, inputs: Inputs) -> int:
        """Those of that count which fvcore sees only where PyTorch computes attention as matrix products.

        PyTorch 1.12, the authors' version, does; later ones have one operation for it, which fvcore does not count.
        """
        return 0


class TrackedLayers(Mapping[str, Layer]):
    """The layers of one operator by name, which knows which of them were taken."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self._layers, self.taken = layers, set[str]()

    def __getitem__(self, name: str) -> Layer:
        """The layer. Raises KeyError where `steps` has no layer of that name."""
        layer = self._layers[name]
        self.taken.add(name)
        return layer

    def __iter__(self) -> Iterator[str]:
        """All names."""
        return iter(self._layers)

    def __len__(self) -> int:
        """Number of layers."""
        return len(self._layers)


def build(where: str, operator: Operator, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
    """The operator's module. Raises ValueError unless it uses exactly the layers that its steps describe."""
    tracked = TrackedLayers(layers)
    try:
        network = operator.network(block, inputs, tracked)
    except KeyError as error:
        raise ValueError(f"{where}: `network` asks for layer {error}; its steps have {sorted(layers)}") from error
    if tracked.taken != layers.keys():
        raise ValueError(f"{where}: `network` does not use layers {sorted(layers.keys() - tracked.taken)} of its steps")
    return network


def unless_equal(inputs: int, outputs: int) -> int:
    """Cost of a projection that the authors' code leaves out where the widths agree.

    >>> unless_equal(16, 16), unless_equal(3, 16)
    (0, 48)
    """
    return 0 if inputs == outputs else inputs * outputs
