"""An export read back: model.pt, what model.json says of it, and the vocabularies by which it numbers values.

B batch, I dense inputs, F fields, V values of a vocabulary.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import numpy.typing as npt
import torch
from torch import Tensor

from modules.space.search_space import SPACES, with_bits
from pipeline.data.formats.features import HASHING, Lookup
from pipeline.data.formats.prepared import OUT_OF_VOCABULARY_ROW
from pipeline.data.prepare.vocabulary import VocabularyIndex
from pipeline.data.schema import Schema
from pipeline.data.vocabularies import vocabulary_rows
from pipeline.run.files import read_json, sha256
from pipeline.run.records.codec import read_record
from pipeline.run.records.model_card import ModelCard, RawRowsCard

Vocabulary = tuple[npt.NDArray[numpy.uint64], npt.NDArray[numpy.int32]]
"""Keys [V] of a column's values, ascending, and the table row of each [V]."""
AGAIN = "export the model again (python -m pipeline.export)"
_NEAREST_ONE = 1 - 2.0**-25
"""Halfway from 1 to the probability below it in float32: what a probability of 1 is taken for."""


@dataclass(frozen=True)
class Exported:
    """An exported model, ready to score rows."""

    path: Path
    """model.pt."""
    card: ModelCard
    """model.json."""
    schema: Schema
    """The log's that the model was made with; its tables as large as values are numbered into."""
    table_rows: tuple[int, ...]
    """Rows of the model's own tables [F]; ids beyond them are folded."""
    vocabularies: Mapping[str, Vocabulary]
    """By column, of the columns that have one."""
    network: Any
    """The TorchScript module."""

    @property
    def lookups(self) -> dict[str, Lookup]:
        """By column that has a vocabulary: raw values → table rows, unknown ones 1."""
        hours = self.schema.hours
        return {
            column: functools.partial(vocabulary_rows, VocabularyIndex(*vocabulary), column in hours)
            for column, vocabulary in self.vocabularies.items()
        }

    @torch.no_grad()
    def logits(self, dense: Tensor, ids: Tensor) -> Tensor:
        """(dense [B, I] float32, ids [B, F] int64) → logit [B] float32.

        An export older than its method `logit` gives a probability in float32, of which the logit is taken. Raises
        ValueError for inputs that it refuses, and for an answer that is not finite or no probability.
        """
        has_logit = hasattr(self.network, "logit")
        try:
            found: Tensor = (self.network.logit if has_logit else self.network)(dense, ids).double()
        except (RuntimeError, torch.jit.Error) as error:  # the second is what a model itself raises
            reason = str(error).strip().splitlines()[-1]
            raise ValueError(f"{self.path} refuses rows as model.json describes them ({reason}); {AGAIN}") from error
        if not has_logit:
            probability = found
            if not bool(((probability >= 0) & (probability <= 1)).all()):
                raise ValueError(f"{self.path} answers with what is no probability; {AGAIN}")
            found = torch.logit(probability.clamp(2.0**-126, _NEAREST_ONE))
        if found.shape != dense.shape[:1] or not bool(found.isfinite().all()):
            raise ValueError(f"{self.path} answers a row with what is no finite number; {AGAIN}")
        return found.float()


def open_export(given: str) -> Exported:
    """The export of a model.pt, or of the folder that holds one. model.pt is run: open those that you trust.

    Raises ValueError naming the file for an export that is not whole, of another format, or not what model.json says.
    """
    path = Path(given) / "model.pt" if Path(given).is_dir() else Path(given)
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give an exported model.pt, or the folder that holds one")
    card = _read_card(path.with_suffix(".json"))
    if sha256(path) != card.model.sha256:
        raise ValueError(f"{path} is not the file that {path.with_suffix('.json').name} describes; {AGAIN}")
    schema, table_rows = _numbered_schema(path.with_suffix(".json"), card)
    vocabularies = _read_vocabularies(path.parent, card, schema)
    try:
        network = torch.jit.load(str(path), map_location="cpu")
        if tables := card.inputs[1].get("tables_file"):
            network.map_tables(str(path.with_name(tables["file"])))
    except RuntimeError as error:
        raise ValueError(f"{path}: not a TorchScript model ({str(error).splitlines()[0]}); {AGAIN}") from error
    return Exported(path, card, schema, table_rows, vocabularies, network.eval())


def _read_card(path: Path) -> ModelCard:
    """model.json, whichever space its architecture is of, with bits or without."""
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist; it says how to feed the model, so copy it beside model.pt, or {AGAIN}"
        )
    document = read_json(path)
    found = document.get("format") if isinstance(document, dict) else None
    if found != ModelCard.FORMAT:
        raise ValueError(f"{path} has format {found!r}, this version evaluates exports of {ModelCard.FORMAT}; {AGAIN}")
    first: ValueError | None = None
    for space in SPACES.values():
        try:
            return read_record(path, ModelCard, with_bits(space))
        except ValueError as error:
            first = first or error
    assert first is not None, "there is a space"
    raise first


def _numbered_schema(path: Path, card: ModelCard) -> tuple[Schema, tuple[int, ...]]:
    """The schema with the sizes that values are numbered into, and the rows of the model's tables.

    It has no timestamp: rows are scored in the order of the log, and need none. Raises ValueError for
    rules that this version does not have.
    """
    schema, rules = Schema.from_json(card.schema, where=f"{path}: field 'schema'"), card.numbering
    other = [name for name, rule in HASHING.items() if name in rules and rules[name] != rule]
    if rules.get("kind") not in ("hash", "vocabulary") or rules.get("unknown_category_row", 1) != OUT_OF_VOCABULARY_ROW:
        other.append("kind" if rules.get("kind") not in ("hash", "vocabulary") else "unknown_category_row")
    if other:
        raise ValueError(f"{path}: field 'numbering' has other rules ({', '.join(other)}) than this version; {AGAIN}")
    try:
        sizes = tuple(int(rules["table_sizes"][column]) for column in schema.categories)
        table_rows = tuple(int(rows) for rows in card.inputs[1]["table_rows"])
        if len(table_rows) != len(sizes):
            raise ValueError(f"found {len(table_rows)} tables for {len(sizes)} categories")
        return replace(schema, table_sizes=sizes, timestamp=""), table_rows
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the sizes of the tables cannot be read ({error!r}); {AGAIN}") from error


def _read_vocabularies(folder: Path, card: ModelCard, schema: Schema) -> dict[str, Vocabulary]:
    """The vocabularies of vocabulary.bin, mapped into memory."""
    wanted = set(card.numbering.get("vocabulary_files", {}))
    described = card.raw_rows
    counts = described.vocabulary_values if described is not None and described.vocabulary is not None else {}
    if wanted != set(counts) or not wanted <= set(schema.categories):
        raise ValueError(
            f"{folder}: the model numbers {sorted(wanted)} by vocabularies, and model.json describes those of "
            f"{sorted(counts)}; {AGAIN}"
        )
    return _mapped(folder, described) if described is not None and counts else {}


def _mapped(folder: Path, described: RawRowsCard) -> dict[str, Vocabulary]:
    file, counts = described.vocabulary, described.vocabulary_values
    assert file is not None, "asked for a vocabulary that there is"
    path = folder / file.file
    if not path.is_file():
        raise ValueError(f"{path} does not exist; copy it beside model.pt, or {AGAIN}")
    if sha256(path) != file.sha256 or path.stat().st_size != 12 * sum(counts.values()):
        raise ValueError(f"{path} is not the file that model.json describes; {AGAIN}")
    found, start = dict[str, Vocabulary](), 0
    for column, count in counts.items():
        middle, end = start + 8 * count, start + 12 * count
        found[column] = (_numbers(path, "<u8", start, count), _numbers(path, "<i4", middle, count))
        start = end
    return found


def _numbers(path: Path, kind: str, start: int, count: int) -> npt.NDArray[Any]:
    """Numbers of a file from a byte on; nothing cannot be mapped."""
    if not count:
        return numpy.empty(0, kind)
    return numpy.memmap(path, kind, "r", offset=start, shape=(count,))
