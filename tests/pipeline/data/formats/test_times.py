"""pipeline/data/formats/times.py: values of every kind as numbers in the order of time; what is no time is found."""

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.formats.times import (
    LOCAL,
    NUMBER,
    WHOLE,
    ZONED,
    TimeError,
    in_words,
    measure_of_text,
    sortable,
    times,
)

INSTANTS = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1))
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))


def check_order(column: pa.Array, values: list) -> None:
    """The numbers are in the order of the values, and equal where these are."""
    found = sortable(times(column))
    for one, other in zip(range(len(values)), range(1, len(values)), strict=False):
        assert (found[one] < found[other]) == (values[one] < values[other])
        assert (found[one] == found[other]) == (values[one] == values[other])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0]), min_size=1))
def test_order_of_decimals(values: list[float]) -> None:
    """Decimal numbers of either sign, typed and as text; both zeros are one time; words give the number back."""
    check_order(pa.array(values), values)
    text = pa.array([repr(value) for value in values])
    check_order(text, values)
    keys = sortable(times(text, NUMBER))
    assert [float(in_words(int(key), NUMBER)) for key in keys] == values


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.sampled_from([pa.int64(), pa.string()]))
def test_order_of_whole_numbers(values: list[int], kind: pa.DataType) -> None:
    """All of 64 bits; of text where the first is beyond what a float64 tells apart, as nanoseconds since 1970 are."""
    values = [1_700_000_000_000_000_001, *values]
    check_order(pa.array(values).cast(kind), values)
    keys = sortable(times(pa.array(values).cast(kind)))
    assert [int(in_words(int(key), WHOLE)) for key in keys] == values


@given(st.lists(INSTANTS, min_size=1))
def test_order_of_local_times(values: list[datetime.datetime]) -> None:
    """As ISO-8601 text, and as Arrow's timestamps of any unit."""
    check_order(pa.array([value.isoformat() for value in values]), values)
    check_order(pa.array(values, pa.timestamp("us")), values)
    dates = [value.date() for value in values]
    for column in (pa.array(dates), pa.array(dates).cast(pa.date64()), pa.array([str(date) for date in dates])):
        check_order(column, dates)


@given(st.lists(st.tuples(INSTANTS, ZONES).map(lambda pair: pair[0].replace(tzinfo=pair[1])), min_size=1))
def test_order_of_instants(values: list[datetime.datetime]) -> None:
    """Times with zones are ordered as the instants that they are."""
    check_order(pa.array([value.isoformat() for value in values]), values)
    check_order(pa.array(values, pa.timestamp("us", "UTC")), values)
    texts = [in_words(int(key), ZONED) for key in sortable(times(pa.array(values, pa.timestamp("us", "UTC"))))]
    assert [datetime.datetime.fromisoformat(text) for text in texts] == values


@pytest.mark.parametrize(
    ("value", "measure"),
    [
        ("1714582989", NUMBER),
        ("-3.5e2", NUMBER),
        ("9007199254740992", WHOLE),
        ("24050117", NUMBER),
        ("2024-05-01", LOCAL),
        ("2024-05-01 17:03", LOCAL),
        ("2024-05-01T17:03:09.123456789", LOCAL),
        ("2024-05-01T17:03:09Z", ZONED),
        ("2024-05-01T17:03:09.5+0530", ZONED),
        *((value, None) for value in ("", " ", "nan", "inf", "1.5.2024", "2024-02-30", "17:03", "0001-01-01", "May 1")),
    ],
)
def test_measures_of_text(value: str, measure: pa.DataType | None) -> None:
    """What a text is as a time, if it is one."""
    assert measure_of_text(value) == measure


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(lambda good: not all(good[1:])), st.sampled_from("nxi"))
def test_first_bad_row(good: list[bool], kind: str) -> None:
    """Among any others, the first value that is no time is named: a missing one, text, or a number without a place."""
    bad = {"n": None, "x": "x", "i": "inf"}[kind]
    values = ["1", *("2" if one else bad for one in good[1:])]
    with pytest.raises(TimeError) as caught:
        times(pa.array(values))
    assert (caught.value.row, caught.value.found) == (values.index(bad), bad)


def test_what_is_no_time() -> None:
    """Measures are not mixed; what int64 or the years 1677 to 2262 do not hold is refused, not wrapped around."""
    for column, row in (
        (pa.array(["5", "2024-05-01"]), 1),
        (pa.array(["2024-05-01", "2024-05-01T17:00Z"]), 1),
        (pa.array(["2024-05-01", ""]), 1),
        (pa.array([1, 2**63], pa.uint64()), 1),
        (pa.array([0, 10**12], pa.timestamp("s")), 1),
        (pa.array([datetime.time(1)]), 0),
        (pa.array([1.0, float("nan")]), 1),
        (pa.array([None, "5"]), 0),
    ):
        with pytest.raises(TimeError) as caught:
            times(column)
        assert caught.value.row == row


def test_forms_of_a_column() -> None:
    """Dictionaries, texts of 8 bytes and decimal types are what they hold."""
    expected = [20240501.0, 20240502.0]
    for column in (
        pa.array(["20240501", "20240502"]).dictionary_encode(),
        pa.array([b"20240501", b"20240502"], pa.binary(8)),
        pa.array([decimal.Decimal("20240501"), decimal.Decimal("20240502")]),
    ):
        assert times(column).to_pylist() == expected
    assert np.diff(sortable(times(pa.array(["20240501", "20240502"]))).astype(np.int64)) > 0
