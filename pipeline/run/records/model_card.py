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

    FORMAT: ClassVar[int] = 2

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
