"""A newer log read by an exported model's own rules: what serving would feed the model, beside the raw values.

Every value is numbered as the model numbers it: by its vocabularies, in which values that it does not know have row 1,
or by its hash, into the sizes of model.json and from there into the model's tables.

n rows of a piece, I dense inputs, F fields, C columns of ids: F without lists.
"""

import dataclasses
from collections.abc import Generator, Mapping
from pathlib import Path

import numpy
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.formats.all_formats import find_files
from pipeline.data.formats.features import Columns, LabelError, Lookup, Rows, decode
from pipeline.data.formats.lists import ABSENT, lists_of_ids
from pipeline.data.formats.parquet import PARQUET, fold
from pipeline.data.formats.prepared import OUT_OF_VOCABULARY_ROW
from pipeline.data.formats.reader import BadLine, Format, Reader, Unit, check_bad_lines
from pipeline.data.formats.text_files import first_fields
from pipeline.data.formats.weights import WeightError
from pipeline.data.numbered_as import laid_out
from pipeline.data.numbering import numbering
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import open_arrow, path_manager
from pipeline.evaluation.config import LogConfig
from pipeline.evaluation.exported import Exported
from pipeline.serving.raw_export import read_vocabulary


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some rows of one file."""

    file: str
    """Its path."""
    dense: npt.NDArray[numpy.float32]
    """[n, I] as the model takes them."""
    ids: npt.NDArray[numpy.int64]
    """[n, C] rows of the model's tables, as the model takes them."""
    label: npt.NDArray[numpy.float32]
    """[n], 0 or 1."""
    weight: npt.NDArray[numpy.float32] | None
    """[n], above 0; None where all rows count the same."""
    values: Mapping[str, pa.Array]
    """Raw values [n] by category, lists of them where they are lists; of a prepared log its table rows."""
    missing: Mapping[str, npt.NDArray[numpy.bool_]]
    """Where a category has no value [n]."""
    unknown: Mapping[str, npt.NDArray[numpy.bool_]]
    """Where the model does not know the value, of the categories that have a vocabulary: [n], of lists [L, n]."""


class NewerLog:
    """The log, opened."""

    def __init__(self, reader: Reader, export: Exported, lookups: Mapping[str, Lookup]) -> None:
        """`lookups`: those of a raw log, as the export gives them."""
        self._reader, self._export, self._lookups = reader, export, lookups

    @property
    def is_prepared(self) -> bool:
        """Whether its columns are model inputs already."""
        return self._reader.prepared is not None

    @property
    def weight(self) -> str:
        """Column of the rows' weights; empty where all count the same."""
        return self._reader.schema.weight

    @property
    def bad_lines(self) -> list[BadLine]:
        """The lines that were set aside."""
        return self._reader.bad_lines

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(unit.rows for unit in self._reader.units)

    @property
    def units(self) -> int:
        """Pieces that `pieces` gives."""
        return len(self._reader.units)

    def pieces(self) -> Generator[Piece, None, None]:
        """All rows in the order of the files, a unit at a time. Bad rows are a ValueError that names them."""
        for number, unit in enumerate(self._reader.units):
            yield self._prepared_piece(number, unit) if self.is_prepared else self._raw_piece(number, unit)

    def _raw_piece(self, number: int, unit: Unit) -> Piece:
        schema = self._reader.schema
        (batch,) = self._reader.columns(number, list(schema.inputs)).combine_chunks().to_batches()
        try:
            rows = decode(batch, schema, lookups=self._lookups)
        except (LabelError, WeightError) as error:
            row = unit.first_row - self._first_row(unit.path) + error.row
            of_label = isinstance(error, LabelError)
            column, found = (schema.label, "label ") if of_label else (schema.weight, "")
            raise ValueError(
                f"{unit.path}: row {row} (from 0), column {column!r}: found {found}{error.found!r}, expected "
                f"{error.expected}; repair or remove the row"
            ) from error
        return self._piece(unit, rows, {column: batch.column(column) for column in schema.categories})

    def _prepared_piece(self, number: int, unit: Unit) -> Piece:
        rows, schema = self._reader.read(number, None), self._reader.schema
        values = {
            name: lists_of_ids(numpy.where(ids == 0, ABSENT, ids))
            if name in schema.lists
            else pa.array(ids[0], mask=ids[0] == 0)
            for name, ids in _by_column(schema, rows).items()
        }
        return self._piece(unit, rows, values)

    def _piece(self, unit: Unit, rows: Rows | Columns, values: Mapping[str, pa.Array]) -> Piece:
        export = self._export
        by_column, lists = _by_column(export.schema, rows), export.schema.lists
        missing = {column: ids[0] == 0 for column, ids in by_column.items()}
        strange = {column: by_column[column] == OUT_OF_VOCABULARY_ROW for column in export.vocabularies}
        unknown = {column: found if column in lists else found[0] for column, found in strange.items()}
        ids = numpy.concatenate(list(by_column.values())).T.copy()  # [n, C]
        sizes, column = zip(export.schema.table_sizes, export.table_rows, strict=True), 0
        for (wanted, own), places in zip(sizes, export.schema.id_places, strict=True):
            if own < wanted:
                fold(ids[:, column : column + places], own)
            column += places
        dense = numpy.stack(list(rows.dense), axis=1)
        label = numpy.asarray(rows.label, numpy.float32)
        return Piece(unit.path, dense, ids.astype(numpy.int64), label, rows.weight, values, missing, unknown)

    def _first_row(self, path: str) -> int:
        return next(unit.first_row for unit in self._reader.units if unit.path == path)


def _by_column(schema: Schema, rows: Rows | Columns) -> dict[str, npt.NDArray[numpy.int32]]:
    """The ids of each category: [1, n], of lists [L, n]."""
    found, column = dict[str, npt.NDArray[numpy.int32]](), 0
    for name, places in zip(schema.categories, schema.id_places, strict=True):
        found[name] = numpy.stack(list(rows.ids[column : column + places]))
        column += places
    return found


def open_log(config: LogConfig, export: Exported, scratch: Path) -> NewerLog:
    """The log opened for a model; `scratch` keeps line counts.

    Raises ValueError naming the file for one that lacks what the model needs, or the label, or is prepared otherwise.
    """
    files, kind = find_files(config.path)
    own = kind.own_schema(files[0])
    if own is not None:
        if config.schema:
            raise ValueError(
                f"data.schema is {config.schema!r}, but {files[0]} is prepared and says itself what it holds"
            )
        if config.max_bad_rows:
            raise ValueError(f"data.max_bad_rows is {config.max_bad_rows}, but {files[0]} has no lines; leave it out")
        return _open_prepared(files, kind, own, export, scratch)
    schema = _reading_schema(config, export)
    for path in files:
        _check_label(path, kind, schema)
    reader = kind.open(files, schema, scratch, config.max_bad_rows)
    if config.max_bad_rows:
        check_bad_lines(reader.bad_lines, config.max_bad_rows)
    return NewerLog(reader, export, export.lookups)


def _reading_schema(config: LogConfig, export: Exported) -> Schema:
    """The model's columns, laid out as the log has them."""
    beside = f"{config.path.rstrip('/')}/schema.json"
    source = config.schema or (beside if path_manager().isfile(beside) else "")
    if not source:
        return export.schema
    return laid_out(export.schema, Schema.load(source), source, str(export.path))


def _check_label(path: str, kind: Format, schema: Schema) -> None:
    """Raise ValueError where a file has no column of labels. A damaged one is left to its reader."""
    if kind is PARQUET:
        try:
            has_label = schema.label in pq.read_schema(open_arrow(path)).names
        except (pa.ArrowException, OSError):
            return
    else:
        names = first_fields(path, schema)
        has_label = schema.label in names if not schema.columns else len(names) != len(schema.columns) - 1
    if not has_label and (kind is PARQUET or names != [""]):
        raise ValueError(
            f"{path} has no labels (column {schema.label!r}), and a model cannot be judged without; give a log with "
            "labels, or a data.schema that names their column"
        )


def _open_prepared(files: list[str], kind: Format, own: Schema, export: Exported, scratch: Path) -> NewerLog:
    """A prepared log. Raises ValueError unless it is numbered as the model's log was."""
    model = export.schema
    advice = "give the raw log, or prepare it as the model's was"
    roles = ("integers", "floats", "categories", "integer_ids", "hours", "table_sizes", "lists", "id_places")
    other = [role for role in roles if getattr(own, role) != getattr(model, role)]
    if other:
        raise ValueError(
            f"{files[0]}: is prepared with other {', '.join(other)} than the model {export.path}; {advice}"
        )
    reader = kind.open(files, own, scratch, 0)
    rules = numbering(own, reader.prepared, files[0].rpartition("/")[0])
    vocabularies: dict[str, str] = rules.get("vocabulary_files", {})
    if set(vocabularies) != set(export.vocabularies):
        raise ValueError(
            f"{files[0]}: is prepared by {rules['kind']}, and the model numbers by {export.card.numbering['kind']}; "
            f"{advice}"
        )
    for column, path in vocabularies.items():
        keys, rows = read_vocabulary(path)
        own_keys, own_rows = export.vocabularies[column]
        if not (numpy.array_equal(keys, own_keys) and numpy.array_equal(rows, own_rows)):
            raise ValueError(f"{path}: is another vocabulary than the model's of column {column!r}; {advice}")
    return NewerLog(reader, export, {})
