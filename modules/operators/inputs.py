"""What a network is given, and which of its earlier outputs an operator may read.

Outputs are numbered as in NASRec (arXiv:2207.07187): 0 is the stem, k the output of block k (blocks count from 1).
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

Columns = tuple[int, int]
"""First column and one past the last, of the widest network's matrix."""

Side = Literal["dense", "sparse"]
"""Dense outputs are [B, d], sparse outputs [B, D, n]."""


@dataclass(frozen=True)
class InputShape:
    """What one row gives the network: I dense numbers and F embedding vectors of width D."""

    integers: int
    """Dense inputs I, at least 1 (a log without integer columns has one constant input)."""
    fields: int
    """Categorical fields F, at least 1."""
    embedding_width: int
    """Embedding width D, at least 1."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"InputShape.{field.name} is {getattr(self, field.name)}; it must be at least 1")


@dataclass(frozen=True)
class Read:
    """One output that an operator reads."""

    side: Side
    """Whether it is a dense or a sparse output."""
    output: int | None
    """0 for the stem, k for block k; None for what the block's own operators make, before its mergers."""
    role: Literal["input", "left", "right", "own"] = "input"
    """As one of the joined inputs, as the left or right operand, or by a merger of the same block."""

    @property
    def choice(self) -> str | None:
        """The field of `Block` that chose this output, or None where there was no choice.

        >>> Read("sparse", 2).choice, Read("dense", 1, "left").choice, Read("dense", None, "own").choice
        ('sparse_inputs', 'left', None)
        """
        match self.role:
            case "input":
                return f"{self.side}_inputs"
            case "own":
                return None
        return self.role


@dataclass(frozen=True)
class Slot:
    """Where an output stands among the columns of the widest network's matrices, and which of them are active.

    Matrices that read earlier outputs have one slot of columns for each, as wide as the output can be. A sub-network
    uses the part of a slot that its own output fills.
    """

    start: int
    """First column of the slot."""
    size: int
    """Columns of the slot."""
    active: Columns
    """The active columns, counted from the slot's first."""

    @property
    def width(self) -> int:
        """Active columns: the width of the output (numbers of a dense one, vectors of a sparse one)."""
        return self.active[1] - self.active[0]

    @property
    def columns(self) -> Columns:
        """The active columns, counted from the matrix' first."""
        return self.start + self.active[0], self.start + self.active[1]


@dataclass(frozen=True)
class Inputs:
    """What an operator may read: the shape of the network's inputs and the slots of all earlier outputs."""

    shape: InputShape
    """Shape of the network's inputs."""
    dense: tuple[Slot, ...]
    """Slots of the dense outputs, the stem's first; widths are in numbers."""
    sparse: tuple[Slot, ...]
    """Slots of the sparse outputs, the stem's first; widths are in vectors."""
    own_dense: int = 0
    """Width that the block's own dense operators make; 0 where there are none."""
    own_sparse: int = 0
    """Vectors that the block's own sparse operators make; 0 where there are none."""

    def dense_columns(self, sources: tuple[int, ...]) -> tuple[Columns, ...]:
        """Columns of these dense outputs."""
        return tuple(self.dense[source].columns for source in sources)

    def sparse_columns(self, sources: tuple[int, ...]) -> tuple[Columns, ...]:
        """Columns of these sparse outputs."""
        return tuple(self.sparse[source].columns for source in sources)

    def dense_width(self, sources: tuple[int, ...]) -> int:
        """Numbers of these dense outputs together."""
        return sum(self.dense[source].width for source in sources)

    def sparse_width(self, sources: tuple[int, ...]) -> int:
        """Vectors of these sparse outputs together."""
        return sum(self.sparse[source].width for source in sources)
