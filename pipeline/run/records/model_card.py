"""The record beside an exported model: model.json."""

from dataclasses import dataclass
from typing import Any, ClassVar

from modules.space import Architecture
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import SplitMetrics


@dataclass(frozen=True)
class ModelFile:
    """The file that a model.json describes."""

    file: str
    """Its name, in the same folder."""
    sha256: str
    """Of its bytes, in hexadecimal."""
    bytes: int
    """Its size."""


@dataclass(frozen=True)
class RawExample:
    """A row of the log's test split, for whoever writes an encoder of their own."""

    row: dict[str, Any]
    """Raw values by column; null where missing."""
    dense: tuple[float, ...]
    """The dense inputs [I] that they become."""
    ids: tuple[int, ...]
    """The table rows, one a column of ids; -1 where a list has no value."""
    probability: float
    """What model.pt answers."""


@dataclass(frozen=True)
class RawRowsCard:
    """The files beside model.pt that turn raw rows into its inputs."""

    code: ModelFile
    """raw_rows.py: the encoder, which needs nothing but Python."""
    vocabulary: ModelFile | None
    """vocabulary.bin: for each column of `vocabulary_values`, in their order, the 64-bit keys of its values, ascending
    (a whole number itself, of a text its hash), then their table rows as 32-bit numbers; all little-endian. None where
    no column has a vocabulary."""
    vocabulary_values: dict[str, int]
    """Values of each such column."""
    examples: tuple[RawExample, ...]
    """The first test rows; none of a prepared log, which has no raw values any more."""


@dataclass(frozen=True)
class Provenance:
    """Which model was exported, and how it was made."""

    numbering: dict[str, Any]
    """How raw values become ids."""
    architecture: Architecture
    """Its network."""
    recipe: Recipe
    """How it was trained."""
    seeds: tuple[int, ...]
    """Seeds of the trainings whose logits it averages; one for a single model."""
    metrics: SplitMetrics | None
    """The exported model's; None where it was not evaluated."""


@dataclass(frozen=True)
class ModelCard:
    """model.json: what a server must know to feed model.pt, and what this model is."""

    FORMAT: ClassVar[int] = 3

    model: ModelFile
    """The file described."""
    inputs: tuple[dict[str, Any], ...]
    """The forward's arguments in order: name, type, shape, columns, meaning; tables and their rows for ids."""
    output: dict[str, Any]
    """What the forward returns: type, shape, meaning."""
    schema: dict[str, Any]
    """The data's schema."""
    numbering: dict[str, Any]
    """How raw values become ids."""
    raw_rows: RawRowsCard | None
    """What does that; None where a model was exported without it."""
    architecture: Architecture
    """Its network."""
    recipe: Recipe
    """How it was trained."""
    seeds: tuple[int, ...]
    """Seeds of the trainings whose logits it averages; one for a single model."""
    metrics: SplitMetrics | None
    """The exported model's; None where it was not evaluated."""
    versions: dict[str, str]
    """Versions of what made the model."""
