"""Parquet click logs, raw or prepared: row groups, the unit of reading, decoded into `Rows`.

Columns and types are checked first. Shapes: n rows, I integers (1 without any), F fields.
"""

import functools
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from pipeline.data.features import Columns, LabelError, Rows, decode
from pipeline.data.log import Unit
from pipeline.data.pool import pool_array
from pipeline.data.prepared import Prepared, arrow_schema, read_prepared
from pipeline.data.remote import StorageError
from pipeline.data.schema import Schema
from pipeline.data.storage import check_same_columns, open_arrow

Ids = npt.NDArray[np.int32]
COLUMNS_AT_ONCE = 10
"""Decoded together: 10 columns of 65,536 rows take 2.6 MB. One by one costs more calls, all 40 more cache misses."""
OPEN_FILES = 4
"""Files that each thread keeps open."""


class ParquetLog:
    """The row groups of some Parquet files, read one at a time, by any thread."""

    def __init__(self, files: list[str], schema: Schema) -> None:
        self.schema = schema
        self.units: list[Unit] = []
        self._opened = threading.local()  # pyarrow does not promise that threads may share a file
        first = self._open(files[0])
        self._names = first.schema_arrow.names
        self.prepared = read_prepared(first.metadata, files[0])
        first_row = 0
        for path in files:
            metadata = self._open(path).metadata
            check_same_columns(path, self._open(path).schema_arrow.names, files[0], self._names)
            _check_same_preparation(path, read_prepared(metadata, path), files[0], self.prepared)
            if not metadata.num_rows:
                raise ValueError(f"{path}: holds no rows; remove the file or write it again")
            for index in range(metadata.num_row_groups):
                rows = metadata.row_group(index).num_rows
                if rows:
                    self.units.append(Unit(path, index, first_row, rows, run=len(self.units)))
                first_row += rows

    def read(self, unit: int, order: npt.NDArray[np.int64] | None = None) -> Rows | Columns:
        """Rows of row group `unit`: those of the given numbers, in that order, or all."""
        if self.prepared:
            return self._read_prepared(unit, order)
        columns = self.columns(unit, list(self.schema.inputs))
        try:
            return decode(columns.combine_chunks().to_batches()[0], self.schema).take(order)
        except LabelError as error:
            raise self._bad_label(unit, error.row, error.found, error.expected) from error

    def columns(self, unit: int, names: list[str]) -> pa.Table:
        """Some raw columns of row group `unit`."""
        path, index = self.units[unit].path, self.units[unit].number
        try:
            return self._open(path).read_row_group(index, columns=names, use_threads=False)
        except StorageError:
            raise
        except (pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())  # Arrow's may have several lines
            raise ValueError(f"{path}: row group {index} cannot be read: {reason}; write it again") from error

    def has_column(self, name: str) -> bool:
        """Whether the files hold a column beside the schema's."""
        return name in self._names

    def _open(self, path: str) -> pq.ParquetFile:
        if not hasattr(self._opened, "file"):
            self._opened.file = functools.lru_cache(maxsize=OPEN_FILES)(functools.partial(_open_checked, self.schema))
        file: pq.ParquetFile = self._opened.file(path)
        return file

    def _read_prepared(self, unit: int, order: npt.NDArray[np.int64] | None) -> Rows | Columns:
        schema = self.schema
        if order is None:
            table = self.columns(unit, list(schema.inputs))
            columns = [table[name].to_numpy() for name in schema.inputs]
            label, dense, ids = columns[0], columns[1 : 1 + schema.num_integers], columns[1 + schema.num_integers :]
            ids = self._checked(unit, None, label, ids)
            return Columns(dense or [np.ones(len(label), np.float32)], ids, label)
        taken = pool_array((1 + schema.dense_width + schema.num_categories, len(order)), np.int32)
        labels, numbers, rows = (
            taken[:1],
            taken[1 : 1 + schema.dense_width].view(np.float32),
            taken[1 + schema.dense_width :],
        )
        if not schema.integers:
            numbers[:] = 1.0
        targets = dict(zip(schema.inputs, [*labels, *numbers[: schema.num_integers], *rows], strict=True))
        for first in range(0, len(schema.inputs), COLUMNS_AT_ONCE):
            names = list(schema.inputs[first : first + COLUMNS_AT_ONCE])
            table = self.columns(unit, names)
            for name in names:
                _take(table[name].to_numpy(), order, targets[name])
        self._checked(unit, order, labels[0], list(rows))
        return Rows(numbers, rows, labels[0].astype(np.float32))

    def _checked(
        self, unit: int, order: npt.NDArray[np.int64] | None, label: npt.NDArray[Any], ids: list[Ids]
    ) -> list[Ids]:
        """Labels are 0 or 1 and ids are rows of the tables, folded into smaller tables where asked for."""
        lowest, highest = self._bounds(unit, self.schema.label) or (label.min(initial=0), label.max(initial=0))
        bad = (label < 0) | (label > 1) if lowest < 0 or highest > 1 else np.zeros(1, bool)
        if bad.any():  # the row group's range may be that of rows which are not read here
            row = int(np.argmax(bad))
            raise self._bad_label(unit, row if order is None else int(order[row]), int(label[row]), "0 or 1")
        assert self.prepared is not None
        sizes = zip(self.schema.categories, self.prepared.schema.table_sizes, self.schema.table_sizes, strict=True)
        for index, (name, size, own_size) in enumerate(sizes):
            column = ids[index]
            lowest, highest = self._bounds(unit, name) or (column.min(initial=0), column.max(initial=0))
            if lowest < 0 or highest >= size:
                raise ValueError(
                    f"{self.units[unit].path}: row group {self.units[unit].number}, column {name!r}: holds rows "
                    f"{lowest} to {highest} of a table of {size}; prepare the file again"
                )
            if own_size < size:
                ids[index] = column = column if column.flags.writeable else column.copy()
                _fold(column, own_size)
        return ids

    def _bounds(self, unit: int, column: str) -> tuple[int, int] | None:
        """The least and the largest number that the writer noted for a column of the row group, if it did."""
        path, index = self.units[unit].path, self.units[unit].number
        statistics = self._open(path).metadata.row_group(index).column(self._names.index(column)).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        return statistics.min, statistics.max

    def _bad_label(self, unit: int, row: int, found: object, expected: str) -> ValueError:
        path = self.units[unit].path
        row += sum(other.rows for other in self.units[:unit] if other.path == path)
        return ValueError(
            f"{path}: row {row} (from 0), column {self.schema.label!r}: found label {found!r}, expected {expected}; "
            "repair or remove the row"
        )


def prepared_schema(path: str) -> Schema | None:
    """The schema that a prepared file brings along; None for a raw one."""
    found = read_prepared(_open_parquet(path).metadata, path)
    return found.schema if found else None


def _take(values: npt.NDArray[Any], order: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
    """The values of the given rows, in that order, into `out`."""
    if values.dtype == out.dtype:
        np.take(values, order, out=out, mode="clip")  # any other mode, or another type, buffers `out`
    else:
        out[:] = values[order]


def _fold(ids: npt.NDArray[np.int32], table_size: int) -> None:
    """Table rows into a smaller table, in place; 0 (missing) stays.

    >>> ids = np.arange(8, dtype=np.int32)
    >>> _fold(ids, 4)
    >>> ids
    array([0, 1, 2, 3, 1, 2, 3, 1], dtype=int32)
    """
    present = ids > 0
    ids -= 1
    ids %= table_size - 1
    ids += 1
    ids *= present


def _open_parquet(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(open_arrow(path), page_checksum_verification=True)
    except StorageError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a whole Parquet file: {error}; write or copy it again") from error


def _open_checked(schema: Schema, path: str) -> pq.ParquetFile:
    """Opens and checks a file; text columns come as dictionaries, so that each distinct text is hashed once."""
    file = _open_parquet(path)
    arrow = file.schema_arrow
    prepared = arrow_schema(schema) if read_prepared(file.metadata, path) else None
    for column in schema.inputs:
        found = arrow.get_all_field_indices(column)
        if len(found) != 1:
            raise ValueError(
                f"{path}: holds column {column!r} {len(found)} times, the schema {schema.name!r} needs it once; "
                f"its columns are {arrow.names}"
            )
        if prepared is None:
            _check_type(path, column, arrow.field(column).type, schema)
        elif not arrow.field(column).equals(prepared.field(column)):
            raise ValueError(
                f"{path}: is prepared, but its column {arrow.field(column)} is not {prepared.field(column)}; "
                "prepare it again"
            )
    if prepared is not None:
        return file
    text = [name for name in schema.categories if name not in (*schema.integer_ids, *schema.hours)]
    return pq.ParquetFile(
        open_arrow(path), metadata=file.metadata, read_dictionary=text, page_checksum_verification=True
    )


def _check_same_preparation(path: str, found: Prepared | None, first_path: str, first: Prepared | None) -> None:
    if found != first:
        kinds = ["raw" if one is None else "prepared" for one in (found, first)]
        reason = "their tables or numbering differ" if found and first else f"one is {kinds[0]}, one {kinds[1]}"
        raise ValueError(f"{path}: cannot be one log with {first_path}: {reason}; prepare them together")


def _check_type(path: str, column: str, found: pa.DataType, schema: Schema) -> None:
    """Whole numbers, numbers or text, as the column's role asks for."""
    value_type = found.value_type if pt.is_dictionary(found) else found
    whole_number = pt.is_integer(found) or pt.is_boolean(found)
    hint = "write it with that type, or change the schema"
    if column == schema.label or column in schema.integers:
        good, expected = whole_number or pt.is_floating(found), "a number"
    elif column in (*schema.integer_ids, *schema.hours):
        good, expected = pt.is_integer(value_type), "a whole number"
        hint = "write it with that type, or leave it out of the schema's integer_ids or hours if it is text"
    else:
        good, expected = pt.is_string(value_type) or pt.is_large_string(value_type), "text"
        hint = "write it with that type, or name it in the schema's integer_ids if it holds whole numbers"
    if not good:
        raise ValueError(f"{path}: column {column!r} is of type {found}, expected {expected}; {hint}")
