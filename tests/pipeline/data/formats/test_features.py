"""pipeline/data/formats/features.py: the vectorized rules against their plain statement, value by value."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.formats.features import (
    HASHING,
    MISSING_INTEGER,
    WORD,
    LabelError,
    Rows,
    category_rows,
    decode,
    float_feature,
    integer_feature,
    label_values,
    mixed_row_numbers,
    text_hash,
    text_hashes,
)
from pipeline.data.schema import Schema

TEXTS = st.lists(st.none() | st.text(max_size=30), max_size=40)
INTEGERS = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=40)


def row_by_hand(text: str | None, table_size: int) -> int:
    """The stated rule for text."""
    return 1 + text_hash(text) % (table_size - 1) if text else 0


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(2, 2**31 - 1), st.sampled_from([pa.string(), pa.large_string()]), st.integers(0, 5))
def test_text_rows(texts: list[str | None], table_size: int, kind: pa.DataType, skipped: int) -> None:
    """Any text, with nulls, empty texts and sliced arrays: the row the plain Python hash gives; missing is row 0."""
    column = pa.array(texts, kind).slice(skipped)
    expected = [row_by_hand(text, table_size) for text in texts[skipped:]]
    assert category_rows(column, table_size).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.integers(0, 2**32 - 1), max_size=40), st.integers(0, 5))
def test_criteo_rows(values: list[int | None], skipped: int) -> None:
    """Criteo's 8 hexadecimal digits take the fast paths, as texts and as words, and give the same rows."""
    texts = [None if value is None else f"{value:08x}" for value in values]
    for kind in (pa.string(), WORD):
        column = pa.array(texts, kind).slice(skipped)
        assert category_rows(column, 1000).tolist() == [row_by_hand(text, 1000) for text in texts[skipped:]]


def test_null_over_bytes() -> None:
    """A null whose slot covers bytes of the buffer (Arrow allows that) is missing and does not shift its neighbours."""
    buffers = pa.array(["68fd1e64", "80e26c9b", "fb936136"]).buffers()
    column = pa.StringArray.from_buffers(3, buffers[1], buffers[2], pa.py_buffer(bytes([0b101])), 1)
    assert category_rows(column, 1000).tolist() == [row_by_hand("68fd1e64", 1000), 0, row_by_hand("fb936136", 1000)]


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_dictionaries_change_nothing(texts: list[str | None]) -> None:
    """A dictionary-encoded column gets the rows of the plain one."""
    column = pa.array(texts, pa.string())
    assert category_rows(column.dictionary_encode(), 77).tolist() == category_rows(column, 77).tolist()


@settings(max_examples=100, deadline=None)
@given(INTEGERS, st.integers(2, 2**31 - 1))
def test_integer_rows(values: list[int | None], table_size: int) -> None:
    """Whole numbers of any sign: 1 + floored remainder; missing is row 0."""
    expected = [0 if value is None else 1 + value % (table_size - 1) for value in values]
    assert category_rows(pa.array(values, pa.int64()), table_size).tolist() == expected


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.uint64()])
def test_integer_types(kind: pa.DataType) -> None:
    """Every integer type gives the same rows."""
    assert category_rows(pa.array([0, 1, 127, None], kind), 11).tolist() == [1, 2, 8, 0]


def test_large_unsigned() -> None:
    """uint64 beyond int64 does not wrap."""
    value = 2**64 - 3
    assert category_rows(pa.array([value], pa.uint64()), 1000).tolist() == [1 + value % 999]


def test_hours() -> None:
    """YYMMDDHH gives the hour of the day."""
    column = pa.array([14102100, 14102123, 14103005, None])
    assert category_rows(column, 25, hour=True).tolist() == [1, 24, 6, 0]


def test_published_examples() -> None:
    """The examples that model.json carries are what the hash gives."""
    for text, value in HASHING["text_hash_examples"].items():
        assert text_hash(text) == value
        assert int(text_hashes(pa.array([text]))[0][0]) == value


def test_hash_spreads() -> None:
    """100,000 consecutive hexadecimal texts over 1,000 rows: chi-square within 5 standard deviations of uniform."""
    rows = category_rows(pa.array([f"{value:08x}" for value in range(100_000)]), 1001)
    counts = np.bincount(rows, minlength=1001)[1:]
    chi_square = ((counts - 100.0) ** 2 / 100.0).sum()
    assert abs(chi_square - 999) < 5 * math.sqrt(2 * 999)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40))
def test_integer_feature(values: list[int | None]) -> None:
    """log(max(x, 0) + 1) to float32 rounding; missing is -1, which no value gives."""
    found = integer_feature(pa.array(values, pa.int64()))
    expected = [MISSING_INTEGER if value is None else math.log(max(value, 0) + 1) for value in values]
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=1e-7)
    assert all((feature == MISSING_INTEGER) == (value is None) for feature, value in zip(found, values, strict=True))


@given(st.lists(st.one_of(st.none(), st.floats(width=64)), min_size=1))
def test_float_feature(values: list[float | None]) -> None:
    """sign(x) log(|x| + 1) to float32 rounding, of either sign; missing and NaN are -1; what float32 cannot hold counts
    as its largest number, so that every feature is finite."""
    found = float_feature(pa.array(values, pa.float64()))
    for value, own in zip(values, found, strict=True):
        if value is None or math.isnan(value):
            assert own == -1
        else:
            bounded = min(abs(value), float(np.finfo(np.float32).max))
            assert own == pytest.approx(math.copysign(math.log1p(bounded), value), rel=1e-6)
    assert np.isfinite(found).all()


def test_infinite_integers() -> None:
    """A whole number in a floating column that is infinite counts as the largest one: its feature is finite."""
    found = integer_feature(pa.array([float("inf"), float("-inf"), 1.0]))
    assert found.tolist() == pytest.approx([88.722839, 0.0, math.log(2)])


def test_floating_feature() -> None:
    """Floating-point columns are taken too; NaN is missing."""
    found = integer_feature(pa.array([0.5, math.nan, None, -2.0]))
    np.testing.assert_allclose(found, [math.log(1.5), -1, -1, 0], rtol=1e-6)


@pytest.mark.parametrize("column", [pa.array([0, 1, 1]), pa.array([0.0, 1.0, 1.0]), pa.array([False, True, True])])
def test_labels(column: pa.Array) -> None:
    """Integers, floating point and booleans serve as labels."""
    assert label_values(column, count_label=False).tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("bad", [2, -1, None])
def test_bad_labels(bad: int | None) -> None:
    """Anything but 0 and 1 is refused with its row and value."""
    with pytest.raises(LabelError) as caught:
        label_values(pa.array([0, 1, bad, 1]), count_label=False)
    assert (caught.value.row, caught.value.found) == (2, bad)


def test_click_counts() -> None:
    """A count label is a click above zero, and never negative."""
    assert label_values(pa.array([0, 1, 5]), count_label=True).tolist() == [0.0, 1.0, 1.0]
    with pytest.raises(LabelError):
        label_values(pa.array([0, -1]), count_label=True)


def test_constant_input_without_integers() -> None:
    """Without numeric columns the dense input is one column of 1.0."""
    schema = Schema("s", "y", (), ("a",), (10,), integer_ids=("a",))
    rows = decode(pa.RecordBatch.from_pydict({"y": [0, 1], "a": [3, None]}), schema)
    assert rows.dense.tolist() == [[1.0, 1.0]]
    assert rows.ids.tolist() == [[4, 0]]
    assert rows.nbytes == 2 * Rows.bytes_per_row(schema)


def test_row_numbers_are_mixed_piecewise() -> None:
    """The number of a row does not depend on where counting began."""
    whole = mixed_row_numbers(0, 1000)
    assert (mixed_row_numbers(300, 200) == whole[300:500]).all()
    assert len(set(whole.tolist())) == 1000
