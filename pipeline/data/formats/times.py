"""Columns of times, whatever they hold, as numbers that order the rows of a click log.

A column is of one measure, which its type says, or, of text, its first value:

* numbers, whole or decimal (seconds or milliseconds since 1970, YYMMDDHH): their order is that of time. Those of a text
  column as float64, or as int64 where the first is a whole number of 2^53 or more (nanoseconds since 1970).
* dates and times without a zone, as Arrow's timestamps or in ISO-8601 (2024-05-01, 2024-05-01 17:03:09.25).
* times with a zone (2024-05-01T17:03:09Z, 2024-05-01T17:03:09+02:00), ordered as the instants that they are.

Times are kept to the nanosecond, from 1677 to 2262. Every row has one; a column that mixes measures has no order.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

NUMBER, WHOLE = pa.float64(), pa.int64()
LOCAL, ZONED = pa.timestamp("ns"), pa.timestamp("ns", "UTC")
MEASURES = {
    NUMBER: "a number",
    WHOLE: "a whole number",
    LOCAL: "an ISO-8601 date or time without a zone",
    ZONED: "an ISO-8601 time with a zone",
}
"""The types of times, and what messages call their values."""
TIMESTAMP_NAMES = (
    *("timestamp", "event_time", "event_timestamp", "time", "datetime", "date_time", "ts", "unix_time", "epoch"),
    *("time_stamp", "request_time", "impression_time", "log_time", "date", "event_date"),
)
"""Names of columns that say when a row was logged, the likeliest first, in lower case. Other columns of times may speak
of something else: when a film was released."""
LEAST_TIME = 10_000_000
"""Whole numbers from here on, in a column named so, are times (seconds since 1970 of April of that year, or a date)."""
LEAST_TIMES = 3
"""Different times that it takes to split a log by time."""
_SIGN = np.uint64(1 << 63)
_MOST_EXACT = 2**53


class TimeError(ValueError):
    """A value that is no time; `row` counts from 0 in the column given."""

    def __init__(self, row: int, found: object, measure: pa.DataType) -> None:
        self.row, self.found, self.expected = row, found, MEASURES[measure]
        super().__init__(f"row {row}: found {found!r}, expected {self.expected}")


def measure_of_text(value: str) -> pa.DataType | None:
    """The measure of a column of text with this value; None if it is no time.

    >>> [str(measure_of_text(value)) for value in ("24050117", "2024-05-01", "2024-05-01T17:03Z", "1.5.2024")]
    ['double', 'timestamp[ns]', 'timestamp[ns, tz=UTC]', 'None']
    """
    text = pa.array([value])
    measure = next((one for one in (NUMBER, LOCAL, ZONED) if _cast(text, one) is not None), None)
    is_large = measure is NUMBER and abs(float(value)) >= _MOST_EXACT
    return WHOLE if is_large and _cast(text, WHOLE) is not None else measure


def measure_of_type(kind: pa.DataType) -> pa.DataType | None:
    """The measure of an Arrow type; None where its values do not order rows in time. Text may be of any."""
    if pt.is_timestamp(kind):
        return ZONED if kind.tz else LOCAL
    if pt.is_date(kind):
        return LOCAL
    if pt.is_integer(kind):
        return WHOLE
    return NUMBER if pt.is_floating(kind) or pt.is_decimal(kind) else None


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of text."""
    kind = kind.value_type if pt.is_dictionary(kind) else kind
    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_fixed_size_binary(kind)


def times(column: pa.Array, measure: pa.DataType | None = None) -> pa.Array:
    """A column's times [n] in a measure (None: that of its type, or of its first value), without nulls.

    A value that is no time of the measure is a `TimeError`.

    >>> times(pa.array(["17", "17.5"])).to_pylist()
    [17.0, 17.5]
    """
    column = column.dictionary_decode() if pt.is_dictionary(column.type) else column
    if pt.is_fixed_size_binary(column.type):
        column = column.cast(pa.binary()).cast(pa.string())
    if measure is None:
        first = column[0].as_py() if is_text(column.type) and len(column) else None
        measure = measure_of_type(column.type) or (measure_of_text(first) if first else None) or NUMBER
    found = _cast(column, measure)
    if found is None:
        row = _first_bad(column, measure)
        raise TimeError(row, _shown(column[row]), measure)
    return found


def is_time(text: str, measure: pa.DataType) -> bool:
    """Whether a text is a time of the measure."""
    return _cast(pa.array([text]), measure) is not None


def sortable(times: pa.Array) -> npt.NDArray[np.uint64]:
    """Numbers [n] that are in the order of the times, equal where these are.

    >>> bool((np.diff(sortable(pa.array([-2.5, -1.0, 0.0, 3e9])).astype(float)) > 0).all())
    True
    """
    if times.type == NUMBER:
        bits = (times.to_numpy(zero_copy_only=False) + 0.0).view(np.uint64)  # -0.0 is 0.0
        return np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return times.view(pa.int64()).to_numpy(zero_copy_only=False).view(np.uint64) ^ _SIGN


def in_words(key: int, measure: pa.DataType) -> str:
    """The time that has become this number.

    >>> in_words(int(sortable(times(pa.array(["2024-05-01T17:00"])))[0]), LOCAL)
    '2024-05-01 17:00:00'
    """
    if measure == NUMBER:
        bits = np.array([key], np.uint64)
        number = float(np.where(bits & _SIGN, bits ^ _SIGN, ~bits).view(np.float64)[0])
        return repr(number).removesuffix(".0")
    number = int((np.array([key], np.uint64) ^ _SIGN).view(np.int64)[0])
    if measure == WHOLE:
        return str(number)
    text = str(np.datetime64(number, "ns")).replace("T", " ")
    return text.rstrip("0").rstrip(".") + ("Z" if measure == ZONED else "")


def _cast(column: pa.Array, measure: pa.DataType) -> pa.Array | None:
    """The column in the measure; None unless all of its values are times of it."""
    if column.null_count:
        return None
    try:
        found = column.cast(measure)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    if measure != NUMBER:
        return found
    is_finite: Any = pc.all(pc.is_finite(found)).as_py()
    return found if is_finite is not False else None


def _shown(value: pa.Scalar) -> object:
    try:
        return value.as_py()
    except (OverflowError, ValueError):  # a time that Python's own do not hold
        return f"{value.value} ({value.type})"


def _first_bad(column: pa.Array, measure: pa.DataType) -> int:
    """The first row that is no time, of a column that has one."""
    start, stop = 0, len(column)
    while stop - start > 1:
        middle = (start + stop) // 2
        if _cast(column.slice(start, middle - start), measure) is None:
            stop = middle
        else:
            start = middle
    return start
