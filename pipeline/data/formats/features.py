"""Raw columns → model inputs: integers by logarithm, categories as table rows, labels. Vectorized over Arrow buffers.

The rules, for a server in any language (`HASHING` below is what model.json carries):

* integer x: log(max(x, 0) + 1) in float32; missing: -1.0, which no value gives.
* decimal number x: sign(x) log(|x| + 1) in float32; missing: -1.0, as of integers.
* category of whole numbers v: row 1 + (v mod (R - 1)) of a table of R rows, the remainder never negative;
  of an hour column YYMMDDHH: v is its last two digits.
* category of text: row 1 + (h mod (R - 1)), where h is `text_hash` of its UTF-8 bytes. Texts of 8 bytes each, as
  Criteo's, may come as 8 bytes of a fixed-width column (`WORD`): the row is the same, and found faster.
* a missing category (null, empty text): row 0. Row 0 has no other meaning.
* lists: each value by the rule of its column (lists.py).
* a row's weight: weights.py.

Shapes: n rows, I integers (1 without any), F fields, C ids that a row has room for: F without lists.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.data.formats.lists import list_ids
from pipeline.data.formats.weights import weight_values
from pipeline.data.memory_pool import POOL, Pool
from pipeline.data.schema import Schema

logger = logging.getLogger(__name__)

WORD = pa.binary(8)
"""Type of a column whose texts all have 8 bytes."""
MISSING_INTEGER = -1.0
"""Dense input of a missing number; log(max(x, 0) + 1) of an integer is never negative."""
LARGEST = np.finfo(np.float32).max
"""What larger numbers, and infinite ones, count as."""

Lookup = Callable[[pa.Array], npt.NDArray[np.int32]]
"""A raw column [n] → its table rows [n], by a vocabulary."""
NO_LOOKUPS: Mapping[str, Lookup] = MappingProxyType({})
"""For a log that is numbered by the rules above."""

_LENGTH_FACTOR = 0x9E3779B97F4A7C15  # 2^64 / golden ratio
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # splitmix64's finalizer (Steele, Lea, Flood; OOPSLA 2014)
_MASK = 2**64 - 1
_HASH_OF_8_BYTES = np.uint64(8 * _LENGTH_FACTOR & _MASK)

HASHING: dict[str, Any] = {
    "integer": "float32 log(max(x, 0) + 1); missing -1.0",
    "float": "float32 sign(x) * log(abs(x) + 1), computed in float64; missing (or NaN) -1.0; infinite as 3.4028235e38",
    "missing_category_row": 0,
    "integer_id_row": "1 + floored_mod(v, table_size - 1)",
    "hour_row": "1 + (v mod 100) mod (table_size - 1), v = YYMMDDHH",
    "text_row": "1 + h mod (table_size - 1)",
    "text_hash": (
        "h = length_in_bytes * 0x9E3779B97F4A7C15; for each 8 bytes of the UTF-8 text as a little-endian word w "
        "(the last padded with zero bytes): h = mix(h xor w); mix(z): z = (z xor z>>30) * 0xBF58476D1CE4E5B9; "
        "z = (z xor z>>27) * 0x94D049BB133111EB; z = z xor z>>31; all modulo 2^64"
    ),
    "text_hash_examples": {"68fd1e64": 11449356412927661723, "a": 18119689086777206668},
}
"""The rules above as data."""


def text_hash(text: str) -> int:
    """The 64-bit hash of one text, written for reading: the reference that the vectorized version is tested against.

    >>> text_hash("68fd1e64") == HASHING["text_hash_examples"]["68fd1e64"]
    True
    """
    contents = text.encode("utf-8")
    h = len(contents) * _LENGTH_FACTOR & _MASK
    for start in range(0, len(contents), 8):
        z = h ^ int.from_bytes(contents[start : start + 8], "little")
        z = (z ^ z >> 30) * _MIX_1 & _MASK
        z = (z ^ z >> 27) * _MIX_2 & _MASK
        h = z ^ z >> 31
    return h


@dataclasses.dataclass(frozen=True)
class Rows:
    """Decoded rows, ready to be cut into batches."""

    dense: npt.NDArray[np.float32]
    """[max(I, 1), n]: column after column, as files hold them."""
    ids: npt.NDArray[np.int32]
    """[C, n]: table rows, field after field; of a list as many as it keeps, absent ones -1."""
    label: npt.NDArray[np.float32]
    """[n], 0 or 1."""
    weight: npt.NDArray[np.float32] | None = None
    """[n], above 0; None where all rows count the same."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        weight_bytes = 0 if self.weight is None else self.weight.nbytes
        return self.dense.nbytes + self.ids.nbytes + self.label.nbytes + weight_bytes

    @staticmethod
    def bytes_per_row(schema: Schema) -> int:
        """What one decoded row takes."""
        return 4 * (schema.dense_width + schema.num_ids + 1 + bool(schema.weight))

    def take(self, order: npt.NDArray[np.int64] | None) -> "Rows":
        """The rows of the given numbers, in that order; None: all as they are."""
        if order is None:
            return self
        taken = Rows.empty(len(order), len(self.dense), len(self.ids), has_weight=self.weight is not None)
        for source, target in zip(self._columns(), taken._columns(), strict=True):
            np.take(source, order, out=target, mode="clip")  # any other mode buffers `out`
        return taken

    def _columns(self) -> list[npt.NDArray[Any]]:
        """All of them, [n] each."""
        return [*self.dense, *self.ids, self.label, *([] if self.weight is None else [self.weight])]

    @staticmethod
    def empty(n: int, dense_width: int, num_ids: int, pool: Pool = POOL, has_weight: bool = False) -> "Rows":
        """Rows of undefined contents, in memory used before."""
        label = dense_width + num_ids
        words = pool.array((label + 1 + has_weight, n), np.int32)
        floats = words.view(np.float32)
        weight = floats[label + 1] if has_weight else None
        return Rows(floats[:dense_width], words[dense_width:label], floats[label], weight)

    def part(self, start: int, stop: int) -> "Rows":
        """The rows start, …, stop - 1, where they lie."""
        weight = None if self.weight is None else self.weight[start:stop]
        return Rows(self.dense[:, start:stop], self.ids[:, start:stop], self.label[start:stop], weight)


@dataclasses.dataclass(frozen=True)
class Columns:
    """Decoded rows where the file's reader left them: no copy, each column a memory of its own."""

    dense: list[npt.NDArray[np.float32]]
    """max(I, 1) of [n]."""
    ids: list[npt.NDArray[np.int32]]
    """C of [n]."""
    label: npt.NDArray[np.int8]
    """[n], 0 or 1."""
    weight: npt.NDArray[np.float32] | None = None
    """[n], above 0; None where all rows count the same."""


def decode(
    columns: pa.RecordBatch, schema: Schema, into: Rows | None = None, lookups: Mapping[str, Lookup] = NO_LOOKUPS
) -> Rows:
    """Applies the rules to raw columns, but for the categories that `lookups` numbers.

    A bad label is a `LabelError`, a bad weight a `WeightError`; both know their row.
    """
    rows = into or Rows.empty(columns.num_rows, schema.dense_width, schema.num_ids, has_weight=bool(schema.weight))
    if not schema.numbers:
        rows.dense[:] = 1.0
    for index, column in enumerate(schema.numbers):
        rows.dense[index] = number_feature(columns.column(column), is_float=column in schema.floats)
    first = 0
    for column, table_size, places in zip(schema.categories, schema.table_sizes, schema.id_places, strict=True):
        raw, number = columns.column(column), lookups.get(column)
        number = number or functools.partial(category_rows, table_size=table_size, hour=column in schema.hours)
        if column in schema.lists:
            rows.ids[first : first + places], cut_rows = list_ids(raw, places, number)
            if cut_rows:
                _say_cut(schema.name, column, places)
        else:
            rows.ids[first] = number(raw)
        first += places
    rows.label[:] = label_values(columns.column(schema.label), schema.count_label)
    if rows.weight is not None:
        rows.weight[:] = weight_values(columns.column(schema.weight))
    return rows


@functools.cache
def _say_cut(log: str, column: str, most: int) -> None:
    """Once a process: how often it happens, `describe` shows and `prepare` counts."""
    logger.warning("%s: some lists of column %r have more than %d values; the first ones are kept", log, column, most)


class LabelError(ValueError):
    """A label other than 0 or 1; `row` counts from 0 in the columns given."""

    def __init__(self, row: int, found: object, count_label: bool) -> None:
        self.row = row
        self.found = found
        self.expected = "a number of clicks" if count_label else "0 or 1"
        super().__init__(f"row {row}: label {found!r}; expected {self.expected}")


def label_values(column: pa.Array, count_label: bool) -> npt.NDArray[np.float32]:
    """Labels [n] as 0.0 and 1.0."""
    values = _numbers(column, fill=-1)
    bad = ~(values >= 0) if count_label else ~((values == 0) | (values == 1))
    if bad.any():
        row = int(np.argmax(bad))
        raise LabelError(row, column[row].as_py(), count_label)
    return (values > 0).astype(np.float32)


def integer_feature(column: pa.Array) -> npt.NDArray[np.float32]:
    """log(max(x, 0) + 1) [n], -1.0 where missing (null or NaN).

    >>> integer_feature(pa.array([0, 1, -3, None]))
    array([ 0.       ,  0.6931472,  0.       , -1.       ], dtype=float32)
    """
    values = _numbers(column, fill=0).astype(np.float32)
    missing = np.isnan(values) if pt.is_floating(column.type) else None
    feature = np.log(np.clip(values, np.float32(0), LARGEST) + np.float32(1))
    if missing is not None:
        feature[missing] = MISSING_INTEGER
    if column.null_count:
        np.copyto(feature, MISSING_INTEGER, where=~_present(column))
    return feature


def float_feature(column: pa.Array) -> npt.NDArray[np.float32]:
    """sign(x) log(|x| + 1) [n], -1.0 where missing (null or NaN).

    >>> float_feature(pa.array([0.5, -0.5, float("inf"), None]))
    array([ 0.4054651, -0.4054651, 88.72284  , -1.       ], dtype=float32)
    """
    values = _numbers(column, fill=0).astype(np.float64)
    missing = np.isnan(values)
    if column.null_count:
        missing |= ~_present(column)
    feature = np.copysign(np.log1p(np.minimum(np.abs(values), LARGEST)), values).astype(np.float32)
    feature[missing] = MISSING_INTEGER
    return feature


def number_feature(column: pa.Array, is_float: bool) -> npt.NDArray[np.float32]:
    """The dense input [n] of a numeric column, by the rule of its kind."""
    return float_feature(column) if is_float else integer_feature(column)


def category_rows(column: pa.Array, table_size: int, hour: bool = False) -> npt.NDArray[np.int32]:
    """Table rows [n] of a categorical column: whole numbers by modulo, text by hash, missing 0.

    >>> category_rows(pa.array([0, 9, 10, -1, None]), table_size=11)
    array([ 1, 10,  1, 10,  0], dtype=int32)
    """
    if pt.is_dictionary(column.type):
        # Each distinct value is numbered once; row 0 in front of them serves the nulls.
        rows = np.concatenate([np.zeros(1, np.int32), category_rows(column.dictionary, table_size, hour)])
        return rows[_numbers(column.indices, fill=-1).astype(np.int64) + 1]
    modulus = table_size - 1
    if column.type == WORD:
        rows = _hashed_rows(_mix(_words(column) ^ _HASH_OF_8_BYTES), modulus)
        if column.null_count:
            rows *= _present(column)
        return rows
    if pt.is_string(column.type) or pt.is_large_string(column.type):
        hashes, present = text_hashes(column)
        rows = _hashed_rows(hashes, modulus)
        if not present.all():
            rows *= present
        return rows
    values = _numbers(column, fill=0)
    if hour:
        values = values % 100
    rows = (1 + values.astype(np.uint64 if pt.is_uint64(column.type) else np.int64) % modulus).astype(np.int32)
    if column.null_count:
        rows *= _present(column)
    return rows


def _hashed_rows(hashes: npt.NDArray[np.uint64], modulus: int) -> npt.NDArray[np.int32]:
    """1 + h mod modulus; the hashes are used up."""
    multiples = hashes // np.uint64(modulus)  # with a product after it, twice as fast as the remainder
    multiples *= np.uint64(modulus)
    hashes -= multiples
    hashes += np.uint64(1)
    return hashes.astype(np.int32)


def _words(column: pa.Array) -> npt.NDArray[np.uint64]:
    """The 8 bytes of each text as a little-endian number, where they lie; anything where it is null."""
    _, data = column.buffers()
    return np.frombuffer(data, "<u8", count=len(column), offset=8 * column.offset)


def text_hashes(column: pa.Array) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """`text_hash` of every text, [n] uint64, and where there is a text at all (neither null nor empty), [n]."""
    n = len(column)
    if column.type == WORD:
        present = _present(column) if column.null_count else np.ones(n, np.bool_)
        return _mix(_words(column) ^ _HASH_OF_8_BYTES), present
    _, offsets_buffer, data_buffer = column.buffers()
    offset_type: type[np.signedinteger[Any]] = np.int64 if pt.is_large_string(column.type) else np.int32
    offsets: npt.NDArray[Any] = np.frombuffer(
        offsets_buffer, offset_type, count=n + 1, offset=column.offset * offset_type().itemsize
    )
    data = np.frombuffer(data_buffer or b"", np.uint8)
    lengths = offsets[1:] - offsets[:-1]
    present = lengths > 0
    if column.null_count:
        present &= _present(column)
    starts, lengths = offsets[:-1][present].astype(np.int64), lengths[present].astype(np.int64)
    count = len(starts)
    if not count:
        return np.zeros(n, np.uint64), present
    hashes = lengths.astype(np.uint64) * np.uint64(_LENGTH_FACTOR)
    if (lengths == 8).all() and starts[-1] - starts[0] == 8 * (count - 1):
        # Criteo: 8 hexadecimal digits each, one behind the other: one word per value, read where it lies.
        hashes = _mix(hashes ^ np.frombuffer(data_buffer, "<u8", count=count, offset=int(starts[0])))
    else:
        padded = np.concatenate([data, np.zeros(8, np.uint8)])
        for first in range(0, int(lengths.max()), 8):
            active = np.flatnonzero(lengths > first)
            words = padded[(starts[active] + first)[:, None] + np.arange(8)]  # [active, 8] bytes
            words[np.arange(8) >= (lengths[active] - first)[:, None]] = 0
            hashes[active] = _mix(hashes[active] ^ words.view("<u8").ravel())
    if count == n:
        return hashes, present
    spread = np.zeros(n, np.uint64)
    spread[present] = hashes
    return spread, present


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64's finalizer, a bijection of 64 bits, in place."""
    shifted = z >> np.uint64(30)
    z ^= shifted
    z *= np.uint64(_MIX_1)
    np.right_shift(z, np.uint64(27), out=shifted)
    z ^= shifted
    z *= np.uint64(_MIX_2)
    np.right_shift(z, np.uint64(31), out=shifted)
    z ^= shifted
    return z


def mixed_row_numbers(first: int, rows: int) -> npt.NDArray[np.uint64]:
    """A fixed random 64-bit number for each of the row numbers first, first + 1, …; [rows]."""
    numbers = np.arange(first, first + rows, dtype=np.uint64)
    return _mix(numbers * np.uint64(_LENGTH_FACTOR) + np.uint64(_LENGTH_FACTOR))


def _present(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Where a column with nulls has none, [n]; in a seventh of the time of `is_null`, which numpy gets bit by bit."""
    first, skipped = divmod(column.offset, 8)
    bits = np.frombuffer(column.buffers()[0], np.uint8, offset=first)
    return np.unpackbits(bits, count=skipped + len(column), bitorder="little")[skipped:].view(np.bool_)


def _numbers(column: pa.Array, fill: int) -> npt.NDArray[Any]:
    """A numeric or boolean column as numpy, nulls replaced."""
    if pt.is_boolean(column.type):
        column = column.cast(pa.int8())
    if column.null_count:
        if pt.is_unsigned_integer(column.type) and fill < 0:
            column = column.cast(pa.int64())
        column = pc.fill_null(column, pa.scalar(fill, column.type))
    return column.to_numpy(zero_copy_only=False)
