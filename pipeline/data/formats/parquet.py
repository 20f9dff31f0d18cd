"""Parquet, raw or prepared: the units of reading are row groups, decoded into `Rows`.

The other files of this format: parquet_files.py (columns and types, checked first), parquet_schema.py (a schema for
files without one) and prepared.py (columns that are model inputs already).

 Shapes: n rows, I integers (1 without any), F fields, C ids that a row has room for: F without lists.
"""

import functools
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.formats.features import NO_LOOKUPS, Columns, LabelError, Lookup, Rows, decode
from pipeline.data.formats.lists import ABSENT, ListError, padded_lists, with_lists
from pipeline.data.formats.parquet_files import open_checked, open_parquet
from pipeline.data.formats.parquet_schema import infer_schema
from pipeline.data.formats.prepared import TIME_COLUMN, Prepared, read_prepared
from pipeline.data.formats.reader import BadLine, Format, Unit
from pipeline.data.formats.times import TimeError, times
from pipeline.data.formats.weights import WeightError, weight_values
from pipeline.data.memory_pool import scratch_memory
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import check_same_columns
from pipeline.data.storage.retry import StorageError

Ids = npt.NDArray[np.int32]
COLUMNS_AT_ONCE = 3
"""Decoded together where rows are picked: 1.6 MB of a full row group. Two cost more calls, ten more cache misses."""
REMOTE_OPENERS = 16
"""Files of a store that are looked into at once: it is waiting for answers, mostly."""


class ParquetReader:
    """Some Parquet files, read one row group at a time by any thread."""

    def __init__(self, files: list[str], schema: Schema) -> None:
        self.schema = schema
        self._lookups = NO_LOOKUPS
        self.units: list[Unit] = []
        self.bad_lines: list[BadLine] = []
        self._opened = threading.local()  # pyarrow does not promise that threads may share a file
        first: _Contents | None = None
        for path, contents in _look_into(files, schema):
            first = first or contents
            check_same_columns(path, contents.names, files[0], first.names)
            _check_same_preparation(path, contents.prepared, files[0], first.prepared)
            first_row = self.units[-1].first_row + self.units[-1].rows if self.units else 0
            for number, rows in contents.row_groups:
                self.units.append(Unit(path, number, first_row, rows, sequence=len(self.units)))
                first_row += rows
        assert first is not None
        self._names, self.prepared = first.names, first.prepared

    def number(self, schema: Schema, lookups: Mapping[str, Lookup]) -> None:
        """Number the categories by `lookups` from now on, into the tables of `schema`."""
        self.schema, self._lookups = schema, lookups

    def read(self, unit: int, order: npt.NDArray[np.int64] | None = None) -> Rows | Columns:
        """Rows of row group `unit`: those of the given numbers, in that order, or all."""
        if self.prepared:
            return self._read_prepared(unit, order)
        columns = self.columns(unit, list(self.schema.inputs))
        try:
            return decode(columns.combine_chunks().to_batches()[0], self.schema, lookups=self._lookups).take(order)
        except LabelError as error:
            raise self._bad_label(unit, error.row, error.found, error.expected) from error
        except WeightError as error:
            raise self._bad_weight(unit, error) from error

    def columns(self, unit: int, names: list[str]) -> pa.Table:
        """Some raw columns of row group `unit`."""
        path, index = self.units[unit].path, self.units[unit].number
        try:
            table = self._open(path).read_row_group(index, columns=names, use_threads=False)
            return table if self.prepared or not self.schema.lists else self._with_lists(unit, table)
        except StorageError:
            raise
        except (pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())  # Arrow's may have several lines
            raise ValueError(f"{path}: row group {index} cannot be read: {reason}; write it again") from error

    def _with_lists(self, unit: int, table: pa.Table) -> pa.Table:
        """The table with lists in the place of text that holds lists."""
        try:
            (batch,) = table.combine_chunks().to_batches()
            return pa.Table.from_batches([with_lists(batch, self.schema)])
        except ListError as error:
            raise self._bad_value(unit, error.row, error.column, repr(error.found), error.expected) from error

    def times(self, unit: int) -> pa.Array:
        """When the row group's rows were logged."""
        name = TIME_COLUMN if self.prepared else self.schema.timestamp
        try:
            return times(self.columns(unit, [name])[name].combine_chunks())
        except TimeError as error:
            raise self._bad_value(unit, error.row, self.schema.timestamp, repr(error.found), error.expected) from error

    def has_column(self, name: str) -> bool:
        """Whether the files hold a column beside the schema's."""
        return name in self._names

    def _open(self, path: str) -> pq.ParquetFile:
        if not hasattr(self._opened, "file"):
            self._opened.file = functools.lru_cache(maxsize=1)(functools.partial(open_checked, self.schema))
        file: pq.ParquetFile = self._opened.file(path)
        return file

    def _read_prepared(self, unit: int, order: npt.NDArray[np.int64] | None) -> Rows | Columns:
        schema = self.schema
        if order is None:
            table = self.columns(unit, list(schema.inputs))
            columns = [self._values(name, table.column(name)) for name in schema.inputs]
            weight = columns.pop()[0] if schema.weight else None
            (label,), dense, ids = columns[0], columns[1 : 1 + schema.num_integers], columns[1 + schema.num_integers :]
            self._check_weights(unit, None, weight)
            checked = self._checked(unit, None, label, [field for of in ids for field in of])
            dense_columns = [column for (column,) in dense] or [np.ones(len(label), np.float32)]
            return Columns(dense_columns, checked, label, weight)
        rows = Rows.empty(len(order), schema.dense_width, schema.num_ids, has_weight=bool(schema.weight))
        if not schema.numbers:
            rows.dense[:] = 1.0
        own = np.split(rows.ids, np.cumsum(schema.id_places)[:-1])  # of each field, [its places, n]
        places = [rows.label[None], *rows.dense[: schema.num_integers, None], *own]
        places += [] if rows.weight is None else [rows.weight[None]]
        targets = dict(zip(schema.inputs, places, strict=True))
        for first in range(0, len(schema.inputs), COLUMNS_AT_ONCE):
            names = schema.inputs[first : first + COLUMNS_AT_ONCE]
            with scratch_memory():
                table = self.columns(unit, list(names))
            for name in names:
                for values, target in zip(self._values(name, table.column(name)), targets[name], strict=True):
                    _take(values, order, target)
            del table  # before the next columns are read
        self._checked(unit, order, rows.label, list(rows.ids))
        self._check_weights(unit, order, rows.weight)
        return rows

    def _values(self, name: str, column: pa.ChunkedArray) -> list[npt.NDArray[Any]]:
        """A prepared column [n]; a list as its places, each [n]."""
        if name not in self.schema.lists:
            return [column.to_numpy()]
        places = self.schema.id_places[self.schema.categories.index(name)]
        return list(padded_lists(column.combine_chunks(), places))

    def _checked(
        self, unit: int, order: npt.NDArray[np.int64] | None, label: npt.NDArray[Any], ids: list[Ids]
    ) -> list[Ids]:
        """Labels are 0 or 1 and ids [C] of [n] are rows of the tables, folded into smaller tables where asked for."""
        file = self._open(self.units[unit].path)
        places = {name: place for place, name in enumerate(file.schema_arrow.names)}  # another file's may differ
        bounds = functools.partial(_bounds, file.metadata.row_group(self.units[unit].number), places)
        lowest, highest = bounds(self.schema.label) or (label.min(initial=0), label.max(initial=0))
        bad = (label < 0) | (label > 1) if lowest < 0 or highest > 1 else np.zeros(1, bool)
        if bad.any():  # the row group's range may be that of rows which are not read here
            row = int(np.argmax(bad))
            raise self._bad_label(unit, row if order is None else int(order[row]), int(label[row]), "0 or 1")
        assert self.prepared is not None
        sizes = zip(self.schema.categories, self.prepared.schema.table_sizes, self.schema.table_sizes, strict=True)
        of_each_id = [field for field, places in zip(sizes, self.schema.id_places, strict=True) for _ in range(places)]
        for index, (name, size, own_size) in enumerate(of_each_id):
            column = ids[index]
            there = column != ABSENT if name in self.schema.lists else np.True_
            lowest, highest = bounds(name) or (column.min(initial=0, where=there), column.max(initial=0))
            if lowest < 0 or highest >= size:
                raise ValueError(
                    f"{self.units[unit].path}: row group {self.units[unit].number}, column {name!r}: holds rows "
                    f"{lowest} to {highest} of a table of {size}; prepare the file again"
                )
            if own_size < size:
                ids[index] = column = column if column.flags.writeable else column.copy()
                fold(column, own_size)
        return ids

    def _check_weights(self, unit: int, order: npt.NDArray[np.int64] | None, weight: npt.NDArray[Any] | None) -> None:
        """Weights of a prepared file are numbers above 0."""
        try:
            if weight is not None:
                weight_values(pa.array(weight, pa.float32()))
        except WeightError as error:
            error.row = error.row if order is None else int(order[error.row])
            raise self._bad_weight(unit, error) from error

    def _bad_weight(self, unit: int, error: WeightError) -> ValueError:
        return self._bad_value(unit, error.row, self.schema.weight, repr(error.found), error.expected)

    def _bad_label(self, unit: int, row: int, found: object, expected: str) -> ValueError:
        return self._bad_value(unit, row, self.schema.label, f"label {found!r}", expected)

    def _bad_value(self, unit: int, row: int, column: str, found: str, expected: str) -> ValueError:
        path = self.units[unit].path
        row += sum(other.rows for other in self.units[:unit] if other.path == path)
        return ValueError(
            f"{path}: row {row} (from 0), column {column!r}: found {found}, expected {expected}; "
            "repair or remove the row"
        )


class _Contents(NamedTuple):
    """What is remembered of a file; its footer may take half a megabyte."""

    names: list[str]
    """Of its columns."""
    prepared: Prepared | None
    """None for a raw file."""
    row_groups: list[tuple[int, int]]
    """(number, rows) of those that hold rows."""


def _look_into(files: list[str], schema: Schema) -> Iterator[tuple[str, _Contents]]:
    """Opens and checks each file; several at once where each takes round trips to a store."""
    look = functools.partial(_contents, schema)
    if not any("://" in path for path in files):
        yield from ((path, look(path)) for path in files)
        return
    with ThreadPoolExecutor(REMOTE_OPENERS) as pool:
        try:
            yield from zip(files, pool.map(look, files), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)  # after an error nothing more is asked for


def _contents(schema: Schema, path: str) -> _Contents:
    file = open_checked(schema, path)
    metadata = file.metadata
    if not metadata.num_rows:
        raise ValueError(f"{path}: holds no rows; remove the file or write it again")
    sizes = [(number, metadata.row_group(number).num_rows) for number in range(metadata.num_row_groups)]
    return _Contents(
        file.schema_arrow.names, read_prepared(metadata, path), [(number, rows) for number, rows in sizes if rows]
    )


def _bounds(metadata: pq.RowGroupMetaData, places: dict[str, int], column: str) -> tuple[int, int] | None:
    """The least and the largest number that the writer noted for a column of the row group, if it did."""
    statistics = metadata.column(places[column]).statistics
    if statistics is None or not statistics.has_min_max:
        return None
    return statistics.min, statistics.max


def _take(values: npt.NDArray[Any], order: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
    """The values of the given rows, in that order, into `out`."""
    if values.dtype == out.dtype:
        np.take(values, order, out=out, mode="clip")  # any other mode, or another type, buffers `out`
    else:
        out[:] = values[order]


def fold(ids: npt.NDArray[np.int32], table_size: int) -> None:
    """Table rows into a smaller table, in place; 0 (missing) stays, and so does what a list lacks (-1).

    >>> ids = np.arange(-1, 8, dtype=np.int32)
    >>> fold(ids, 4)
    >>> ids
    array([-1,  0,  1,  2,  3,  1,  2,  3,  1], dtype=int32)
    """
    np.copyto(ids, (ids - 1) % (table_size - 1) + 1, where=ids > 0)


def _check_same_preparation(path: str, found: Prepared | None, first_path: str, first: Prepared | None) -> None:
    if found != first:
        kinds = ["raw" if one is None else "prepared" for one in (found, first)]
        reason = "their tables or numbering differ" if found and first else f"one is {kinds[0]}, one {kinds[1]}"
        raise ValueError(f"{path}: cannot be one click log with {first_path}: {reason}; prepare them together")


def _prepared_schema(path: str) -> Schema | None:
    """The schema that a prepared file carries; None for a raw one."""
    found = read_prepared(open_parquet(path).metadata, path)
    return found.schema if found else None


def _open(files: list[str], schema: Schema, folder: Path, max_bad_rows: int) -> ParquetReader:
    if max_bad_rows:
        raise ValueError(
            f"data.max_bad_rows is {max_bad_rows}, but {files[0]} is Parquet, which has no lines; leave it out"
        )
    return ParquetReader(files, schema)


def _recognizes(path: str) -> bool:
    return path.endswith((".parquet", ".pq"))


PARQUET = Format("Parquet", _recognizes, _prepared_schema, infer_schema, _open)
"""The Parquet format."""
