"""What a baseline is: one file with its network and the same kind of description that operators have.

B batch, I dense inputs, F categorical fields, D embedding width.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import nn

from modules.operators import InputShape, Matrix, Read, Step

STEM = (Read("dense", 0), Read("sparse", 0))
"""The dense inputs and the embedding vectors."""


class Baseline(ABC):
    """A hand-made model. Subclasses are frozen dataclasses of its sizes; one that lacks a part cannot be built."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What tables and pictures call it."""

    @abstractmethod
    def build(self, shape: InputShape, generator: torch.Generator | None = None) -> nn.Module:
        """The network `forward(dense [B, I], sparse [B, F, D]) -> logit [B]`.

        Without a generator its first weights come from torch's global one.
        """

    @abstractmethod
    def steps(self, shape: InputShape) -> tuple[Step, ...]:
        """Its layers in the order of computing.

        A step's name is the path of its matrix in the network; `Read("dense", 0)` and `Read("sparse", 0)` stand for
        the dense inputs and the embedding vectors.
        """

    def multiply_accumulates(self, shape: InputShape) -> int:
        """Multiply-accumulates per row, by the same rules as for searched architectures.

        Counted: V · I · O for every matrix and one for every product of two computed numbers. Not counted: embedding
        tables, biases, activations, sums, constants.

        >>> from modules.baselines import BASELINES
        >>> BASELINES["dlrm"].multiply_accumulates(InputShape(13, 26, 16))
        479984
        """
        return sum(step.multiply_accumulates for step in self.steps(shape))

    def parameter_count(self, shape: InputShape) -> int:
        """Numbers that training changes, embedding tables not counted."""
        return sum(step.parameters() for step in self.steps(shape))


def perceptron(names: Sequence[str], sizes: Sequence[int], waits_for: tuple[str | Read, ...]) -> Iterator[Step]:
    """Linear layers with bias and activation, one after the other: `sizes` are the inputs, then each layer's units.

    >>> [(step.name, step.matrix.inputs, step.matrix.outputs) for step in perceptron(["a", "b"], [3, 5, 1], STEM)]
    [('a', 3, 5), ('b', 5, 1)]
    """
    for name, (inputs, outputs) in zip(names, pairwise(sizes), strict=True):
        matrix = Matrix(((0, inputs),), outputs, bias=True)
        yield Step(name, waits_for, matrix, elementwise_operations=outputs)  # the activation
        waits_for = (name,)


def check_layer_sizes(field: str, sizes: tuple[int, ...]) -> None:
    """Raise ValueError unless every size is at least 1."""
    if any(size < 1 for size in sizes):
        raise ValueError(f"{field} is {sizes}; every layer has at least 1 unit")
