"""The record beside an exported model: model.json."""

from dataclasses import dataclass
from typing import Any, ClassVar

from modules.space import Architecture
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import SplitMetrics
from pipeline.serving.names import DensePrecision, FileFormat, TablePrecision


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
class FileCheck:
    """How a file's answers compared with the trained model's, in a fresh process, before it was called exported."""

    rows: int
    """Rows of the test split; 0 where there were none, and made-up rows were compared."""
    tolerance: float
    """Largest difference in probability that its precision is allowed."""
    difference: float
    """Largest difference in probability that there was."""
    log_loss_difference: float
    """Its log loss on these rows less the trained model's, in nats; 0 where there were none."""
    auc_difference: float | None
    """Its AUC less the trained model's; None where rows of one label have none."""


@dataclass(frozen=True)
class ExportedFile:
    """A file of the export that scores rows."""

    file: str
    """Its name, in the same folder."""
    sha256: str
    """Of its bytes, in hexadecimal."""
    bytes: int
    """Its size."""
    format: FileFormat
    """torchscript (probability; method logit), pt2 (AOTInductor's package: probability and logit; compiled for the
    processor of the machine that exported it), or onnx (outputs probability and logit)."""
    tables: TablePrecision
    """What the tables' numbers are held in."""
    dense: DensePrecision
    """What the network computes in."""
    check: FileCheck
    """How it compared with the trained model."""


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

    FORMAT: ClassVar[int] = 4

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
    files: tuple[ExportedFile, ...] = ()
    """The files that score rows, model.pt first."""
