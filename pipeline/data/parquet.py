"""Parquet click logs: row groups, the unit of reading, decoded into `Rows`; columns and types are checked first."""

import dataclasses
import functools
import threading
from collections import OrderedDict

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from pipeline.data.features import LabelError, Rows, decode
from pipeline.data.schema import Schema
from pipeline.data.storage import check_same_columns, open_binary

CACHE_BYTES = 128 * 2**20
"""Decoded row groups kept: a small log is decoded once, a large one streams through."""


@dataclasses.dataclass(frozen=True)
class RowGroup:
    """A unit of reading."""

    path: str
    """Its file."""
    index: int
    """Its number in the file."""
    first_row: int
    """Number of its first row in the whole log (the files one behind the other)."""
    rows: int
    """Its rows, 1 or more."""


class ParquetLog:
    """The row groups of some Parquet files, read one at a time, by any thread, with a bounded cache."""

    def __init__(self, files: list[str], schema: Schema) -> None:
        self.schema = schema
        self.row_groups: list[RowGroup] = []
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Rows] = OrderedDict()
        self._open = functools.lru_cache(maxsize=16)(functools.partial(_open_parquet, schema=schema))
        first_row = 0
        for path in files:
            metadata = self._open(path).metadata
            check_same_columns(path, self._names(path), files[0], self._names(files[0]))
            if not metadata.num_rows:
                raise ValueError(f"{path}: holds no rows; remove the file or write it again")
            for index in range(metadata.num_row_groups):
                rows = metadata.row_group(index).num_rows
                if rows:
                    self.row_groups.append(RowGroup(path, index, first_row, rows))
                first_row += rows

    def read(self, unit: int) -> Rows:
        """The decoded rows of row group `unit`."""
        with self._lock:
            rows = self._cache.pop(unit, None)
            if rows is None:
                rows = self._decode(unit)
            self._cache[unit] = rows
            held = sum(kept.nbytes for kept in self._cache.values())
            while held > CACHE_BYTES and len(self._cache) > 1:
                _, dropped = self._cache.popitem(last=False)
                held -= dropped.nbytes
            return rows

    def columns(self, unit: int, names: list[str]) -> pa.Table:
        """Some raw columns of row group `unit`."""
        group = self.row_groups[unit]
        try:
            return self._open(group.path).read_row_group(group.index, columns=names)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"{group.path}: row group {group.index} cannot be read: {error}; write it again"
            ) from error

    def has_column(self, name: str) -> bool:
        """Whether the files hold a column beside the schema's."""
        return name in self._names(self.row_groups[0].path)

    def _names(self, path: str) -> list[str]:
        return self._open(path).schema_arrow.names

    def _decode(self, unit: int) -> Rows:
        group = self.row_groups[unit]
        table = self.columns(unit, list(self.schema.inputs)).combine_chunks()
        try:
            return decode(table.to_batches()[0], self.schema)
        except LabelError as error:
            row = sum(other.rows for other in self.row_groups[:unit] if other.path == group.path) + error.row
            raise ValueError(
                f"{group.path}: row {row} (from 0), column {self.schema.label!r}: found label {error.found!r}, "
                f"expected {error.expected}; repair or remove the row"
            ) from error


def _open_parquet(path: str, schema: Schema) -> pq.ParquetFile:
    """Opens and checks a file; text columns come as dictionaries, so that each distinct text is hashed once."""
    handle = open_binary(path)
    try:
        file = pq.ParquetFile(handle)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a whole Parquet file: {error}; write or copy it again") from error
    arrow_schema = file.schema_arrow
    for column in schema.inputs:
        found = arrow_schema.get_all_field_indices(column)
        if len(found) != 1:
            raise ValueError(
                f"{path}: holds column {column!r} {len(found)} times, the schema {schema.name!r} needs it once; "
                f"its columns are {arrow_schema.names}"
            )
        _check_type(path, column, arrow_schema.field(column).type, schema)
    text = [name for name in schema.categories if name not in (*schema.integer_ids, *schema.hours)]
    return pq.ParquetFile(handle, metadata=file.metadata, read_dictionary=text)


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
