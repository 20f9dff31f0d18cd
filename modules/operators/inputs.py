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
    table_widths: tuple[int, ...] = dataclasses.field(default=(), kw_only=True)
    """Width of each field's table, 1 to D, where they differ: narrower ones are projected to D. Empty: all are D."""

    def __post_init__(self) -> None:
        for name in ("integers", "fields", "embedding_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"InputShape.{name} is {getattr(self, name)}; it must be at least 1")
        if self.table_widths and len(self.table_widths) != self.fields:
            raise ValueError(
                f"InputShape.table_widths has {len(self.table_widths)} widths for {self.fields} fields; "
                "give one for each field, or none"
            )
        if any(not 1 <= width <= self.embedding_width for width in self.table_widths):
            raise ValueError(
                f"InputShape.table_widths is {self.table_widths}; each is at least 1 and at most the embedding width, "
                f"{self.embedding_width}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each field's table."""
        return self.table_widths or (self.embedding_width,) * self.fields


@dataclass(frozen=True)
class StemShape(InputShape):
    """What the blocks are given: the shape of a row, and how many vectors the stem makes from the integers."""

    stem_vectors: int = 0
    """Vectors that join the fields in sparse output 0; 0 where the integers themselves are dense output 0."""

    @property
    def vectors(self) -> int:
        """Vectors of sparse output 0: the F fields', then the stem's."""
        return self.fields + self.stem_vectors


@dataclass(frozen=True)
class Read:
    """One output that an operator reads."""

    side: Side
    """Whether it is a dense or a sparse output."""
    output: int | None
    """0 for the stem, k for block k; None for what the block's own operators make, before its mergers."""
    role: Literal["input", "left", "right", "own", "stem"] = "input"
    """As one of the joined inputs, as the left or right operand, by a merger of the same block, or as the stem's
    output that the operator reads whatever its block's connections are."""

    @property
    def choice(self) -> str | None:
        """The field of `Block` that chose this output, or None where there was no choice.

        >>> Read("sparse", 2).choice, Read("dense", 1, "left").choice, Read("dense", None, "own").choice
        ('sparse_inputs', 'left', None)
        """
        match self.role:
            case "input":
                return f"{self.side}_inputs"
            case "own" | "stem":
                return None
        return self.role


STEM_READS = (Read("dense", 0, "stem"), Read("sparse", 0, "stem"))
"""What an operator says it reads that is given the flattened stem x₀, whatever its block's connections are."""


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

    shape: StemShape
    """Shape of the network's inputs, with the vectors that its stem makes."""
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

    def joined_columns(self, dense: tuple[int, ...], sparse: tuple[int, ...], start: int = 0) -> tuple[Columns, ...]:
        """Columns of these dense outputs, then of these sparse outputs, flattened vector by vector.

        They stand in a region of the matrix that begins at column `start` and has `joined_size` columns.
        """
        columns = [(start + first, start + last) for first, last in self.dense_columns(dense)]
        start += self.dense_size
        size = self.shape.embedding_width
        columns += [(start + first * size, start + last * size) for first, last in self.sparse_columns(sparse)]
        return tuple(columns)

    @property
    def joined_size(self) -> int:
        """Columns of the slots of all dense outputs and all flattened sparse outputs."""
        return self.dense_size + sum(slot.size for slot in self.sparse) * self.shape.embedding_width

    @property
    def dense_size(self) -> int:
        """Columns of the slots of all dense outputs."""
        return sum(slot.size for slot in self.dense)

    def stem_columns(self, start: int = 0) -> tuple[Columns, ...]:
        """Columns of the flattened stem x₀: of the integers where the stem makes no vectors, and of its vectors.

        One range for each tensor that `flattened_stem` gives; the region begins at column `start` and has `stem_size`
        columns.
        """
        integers, vectors = self.shape.integers, self.shape.vectors * self.shape.embedding_width
        stem = (start + integers, start + integers + vectors)
        return (stem,) if self.shape.stem_vectors else ((start, start + integers), stem)

    @property
    def stem_size(self) -> int:
        """Columns that the flattened stem can have: the integers and the widest sparse output 0."""
        return self.shape.integers + self.sparse[0].size * self.shape.embedding_width
