"""A schema for Parquet files that come without one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from pipeline.data.formats.lists import is_list
from pipeline.data.formats.times import LEAST_TIME, LEAST_TIMES, TIMESTAMP_NAMES, TimeError, sortable, times
from pipeline.data.generate.logs import PROBABILITY_COLUMN
from pipeline.data.schema import MAX_TABLE_ROWS, Schema, list_places
from pipeline.data.storage.paths import check_same_columns, open_binary


def infer_schema(files: list[str], path: str, max_table_rows: int) -> Schema:
    """The schema of the Parquet files under `path`, which have a column `label`.

    A column with the name of a timestamp that holds times is that; other dates and times are not read. Numeric inputs
    are the columns called int_* and those of floating point; all others are categories: whole numbers get a table as
    long as their range, text, whose values nobody has counted, one of `max_table_rows`. Columns of lists are lists.
    """
    fields = _fields(files[0])
    for path in files:
        check_same_columns(path, _fields(path).names, files[0], fields.names)
    if "label" not in fields.names:
        raise ValueError(
            f"{files[0]}: has no column 'label', found {fields.names}; name the label in a data.schema file"
        )
    timestamp = _timestamp(files, fields)
    inputs = [
        field
        for field in fields
        if field.name not in ("label", PROBABILITY_COLUMN, timestamp) and not pt.is_temporal(field.type)
    ]
    integers = [field.name for field in inputs if field.name.startswith("int_")]
    floats = [field.name for field in inputs if pt.is_floating(field.type) and field.name not in integers]
    categories = [field for field in inputs if field.name not in (*integers, *floats)]
    integer_ids = [field.name for field in categories if pt.is_integer(_value_type(field.type))]
    lists = [field.name for field in categories if is_list(field.type)]
    ranges = _value_ranges(files, integer_ids)
    longest = _longest(files, lists)
    sizes = [
        min(MAX_TABLE_ROWS, ranges[field.name] + 1) if field.name in ranges else max_table_rows for field in categories
    ]
    names = tuple(field.name for field in categories)
    return Schema(
        Path(path).stem,
        "label",
        tuple(integers),
        names,
        tuple(max(size, 2) for size in sizes),
        tuple(integer_ids),
        floats=tuple(floats),
        timestamp=timestamp,
        lists=tuple(lists),
        max_list_values=tuple(list_places(longest[name]) for name in lists),
    )


def _value_type(kind: pa.DataType) -> pa.DataType:
    """Of a column, or of the values in its lists."""
    return kind.value_type if is_list(kind) else kind


def _timestamp(files: list[str], fields: pa.Schema) -> str:
    """The column that says when a row was logged; empty if none surely does."""
    named = {field.name.lower(): field.name for field in fields if field.name != "label"}
    return next((named[name] for name in TIMESTAMP_NAMES if name in named and _holds_times(files, named[name])), "")


def _holds_times(files: list[str], column: str) -> bool:
    """Whether a column has a time in every row, numbers large enough for one, and not the same few in all."""
    different: set[int] = set()
    try:
        for table in _row_groups(files, [column]):
            found = times(table[column].combine_chunks())
            if not pt.is_temporal(found.type) and (pc.min(found).as_py() or 0) < LEAST_TIME:
                return False
            if len(different) < LEAST_TIMES:
                different |= set(np.unique(sortable(found))[:LEAST_TIMES].tolist())
    except TimeError:
        return False
    return len(different) >= LEAST_TIMES


def _fields(path: str) -> pa.Schema:
    with open_binary(path) as handle:
        try:
            return pq.ParquetFile(handle).schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path}: not a whole Parquet file: {error}; write or copy it again") from error


def _value_ranges(files: list[str], columns: list[str]) -> dict[str, int]:
    """Length of [smallest, largest] value of whole-number columns over all files: modulo it, no two values meet."""
    lows: dict[str, list[int]] = {column: [] for column in columns}
    highs: dict[str, list[int]] = {column: [] for column in columns}
    for table in _row_groups(files, columns) if columns else ():
        for column in table.column_names:
            values = table[column]
            values = pc.list_flatten(values) if is_list(values.type) else values
            low, high = pc.min_max(values).as_py().values()
            if low is not None:
                lows[column].append(low)
                highs[column].append(high)
    return {column: max(highs[column]) - min(lows[column]) + 1 for column in columns if lows[column]}


def _longest(files: list[str], columns: list[str]) -> dict[str, int]:
    """The most values of one row, of columns of lists over all files."""
    longest = dict.fromkeys(columns, 0)
    for table in _row_groups(files, columns) if columns else ():
        for column in table.column_names:
            longest[column] = max(longest[column], pc.max(pc.list_value_length(table[column])).as_py() or 0)
    return longest


def _row_groups(files: list[str], columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of all files."""
    for path in files:
        with open_binary(path) as handle:
            file = pq.ParquetFile(handle)
            for group in range(file.num_row_groups):
                try:
                    yield file.read_row_group(group, columns=columns)
                except (pa.ArrowException, OSError) as error:
                    raise ValueError(f"{path}: row group {group} cannot be read: {error}; write it again") from error
