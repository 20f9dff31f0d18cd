"""Columns of lists: the categories that have any number of values in a row, as Arrow's lists and as table rows.

Wherever a list comes from (a Parquet list, or text with a separator), it is an Arrow list of text or of whole numbers
from here on. Its values are those that are there: null and empty ones are none. It keeps its first `most` values.

As table rows a list is `most` columns of ids: those of its values, then ABSENT. A list without any value has row 0, as
a missing category. So decoded rows are of one size, and are shuffled, cut and counted as all others; where a batch is
made, what is absent is dropped.

n rows, m values of all lists, L values that a list keeps.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.data.schema import Schema

ABSENT = -1
"""In a place of a list that has no value: no row of any table."""
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
"""One of a list that stands as text, without the spaces around it."""
LIST_RULE = (
    "each value of a list by the rule of its column, in successive columns of ids; null and empty values are none; "
    "values beyond the columns are left out, columns beyond the values hold -1; without a value the first holds 0; the "
    "model averages the vectors of a list"
)
"""For a server in any language (model.json)."""
_WHOLE_NUMBER = r"^[+-]?[0-9]{1,19}$"  # the same for Arrow

Ids = npt.NDArray[np.int32]


class ListError(ValueError):
    """A value of a list that is no whole number; `row` counts from 0 in the column given."""

    def __init__(self, column: str, row: int, found: str) -> None:
        self.column, self.row, self.found = column, row, found
        self.expected = "whole numbers of 64 bits in a list"
        super().__init__(f"column {column!r}, row {row}: found {found!r}, expected {self.expected}")


class Kept(NamedTuple):
    """The values that lists keep, row after row."""

    values: pa.Array
    """[m], none missing."""
    row: npt.NDArray[np.int64]
    """The row of each [m], ascending."""
    place: npt.NDArray[np.int64]
    """Its place in the row's list [m]."""
    cut_rows: int
    """Rows whose lists have more values."""


def is_list(kind: pa.DataType) -> bool:
    """Whether a column is one of lists."""
    return bool(pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind))


def kept_values(column: pa.Array, most: int) -> Kept:
    """The first `most` values of each list.

    >>> kept = kept_values(pa.array([["a", None, "b", "c"], None, ["", "d"]]), most=2)
    >>> kept.values.to_pylist(), kept.row.tolist(), kept.place.tolist(), kept.cut_rows
    (['a', 'b', 'd'], [0, 0, 2], [0, 1, 0], 1)
    """
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(column)), lengths)
    values = column.flatten()  # without those of null lists
    if pt.is_dictionary(values.type):
        values = values.dictionary_decode()
    is_there = pc.is_valid(values)
    if pt.is_string(values.type) or pt.is_large_string(values.type):
        is_there = pc.and_(is_there, pc.fill_null(pc.greater(pc.binary_length(values), 0), False))
    there = np.flatnonzero(is_there.to_numpy(zero_copy_only=False))
    row = row[there]
    counts = np.bincount(row, minlength=len(column))
    place = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    within = place < most
    cut_rows = int((counts > most).sum())
    if len(there) == len(values) and not cut_rows:
        return Kept(values, row, place, 0)
    return Kept(values.take(pa.array(there[within])), row[within], place[within], cut_rows)


def list_ids(column: pa.Array, most: int, number: Callable[[pa.Array], Ids]) -> tuple[Ids, int]:
    """Table rows [L, n] of lists, and how many lists had more values. `number`: values [m] → their table rows [m]."""
    kept = kept_values(column, most)
    ids = number(kept.values) if len(kept.values) else np.empty(0, np.int32)
    return padded(ids, kept.row, kept.place, (most, len(column))), kept.cut_rows


def padded(ids: Ids, row: npt.NDArray[np.int64], place: npt.NDArray[np.int64], shape: tuple[int, int]) -> Ids:
    """The ids [m] of rows, in these places of theirs, as [L, n].

    >>> padded(np.array([7, 8, 9], np.int32), np.array([0, 0, 2]), np.array([0, 1, 0]), (2, 3)).tolist()
    [[7, 0, 9], [8, -1, -1]]
    """
    found = np.full(shape, ABSENT, np.int32)
    found[0] = 0
    found[place, row] = ids
    return found


def padded_lists(column: pa.Array, most: int) -> Ids:
    """Lists of table rows, as `prepare` writes them, as [L, n]; of longer lists the first L."""
    kept = kept_values(column, most)
    return padded(kept.values.to_numpy(), kept.row, kept.place, (most, len(column)))


def lists_of_ids(ids: Ids) -> pa.Array:
    """Table rows [L, n] as Arrow's lists, for a prepared file.

    >>> lists_of_ids(np.array([[7, 0], [8, -1]], np.int32)).to_pylist()
    [[7, 8], [0]]
    """
    present = ids.T != ABSENT  # [n, L]
    offsets = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids.T[present]))


def with_lists(columns: pa.RecordBatch, schema: Schema) -> pa.RecordBatch:
    """The columns with lists in the place of text that holds lists. Raises ListError for what is no whole number."""
    for name in set(schema.lists) & set(columns.schema.names):
        found = columns.column(name)
        if not is_list(found.type):
            place = columns.schema.get_field_index(name)
            lists = split_lists(found, schema.list_separator, name in schema.integer_ids, name)
            columns = columns.set_column(place, name, lists)
    return columns


def split_lists(column: pa.Array, separator: str, is_whole: bool, name: str = "") -> pa.Array:
    """Text of values with a separator between them as lists of text, or of whole numbers (`is_whole`). `name`: the
    column's, for messages.

    >>> split_lists(pa.array(["3|4", None, "5"]), "|", is_whole=True).to_pylist()
    [[3, 4], None, [5]]
    """
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    lists = pc.split_pattern(column.cast(pa.large_string()), separator)
    if not is_whole:
        return lists
    values = pc.utf8_trim_whitespace(lists.flatten())
    values = pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)
    is_number = pc.fill_null(pc.match_substring_regex(values, _WHOLE_NUMBER), True)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    try:
        if not pc.all(is_number, min_count=0).as_py():
            raise pa.ArrowInvalid
        numbers = pc.replace_substring_regex(values, r"^\+", "").cast(pa.int64())
    except pa.ArrowInvalid as error:
        bad = next(place for place, value in enumerate(values.to_pylist()) if value and not is_whole_number(value))
        row = int(np.searchsorted(np.cumsum(lengths), bad, side="right"))
        raise ListError(name, row, values[bad].as_py()) from error
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, numbers, mask=lists.is_null())


def is_whole_number(text: str) -> bool:
    """Whether a value of a list that stands as text is a whole number of 64 bits, or none."""
    text = text.strip()
    return not text or (WHOLE_NUMBER.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63)
