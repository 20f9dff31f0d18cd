"""pipeline/data/prepare/statistics.py: statistics of parts add up to those of the whole."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.prepare.statistics import add_up, column_statistics, summary
from pipeline.data.schema import Schema

values = st.one_of(
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=20),
    st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=3)), max_size=20),
)


@given(values, st.integers(0, 20))
def test_parts_add_up(column: list[int | str | None], cut: int) -> None:
    """Cut anywhere, the parts' statistics give those of plain Python over all values."""
    whole = pa.array(column) if column else pa.array([], pa.int64())
    rows = np.arange(len(column), dtype=np.int32) % 3
    parts = [column_statistics(whole[:cut], rows[:cut]), column_statistics(whole[cut:], rows[cut:])]
    present = [value for value in column if value is not None]
    assert add_up(parts) == {
        "missing": column.count(None),
        "min": min(present, key=_order, default=None),
        "max": max(present, key=_order, default=None),
        "out_of_vocabulary": int((rows == 1).sum()),
    }


def _order(value: int | str) -> tuple[int, bytes]:
    """Text goes by its UTF-8 bytes."""
    return (0, value.encode()) if isinstance(value, str) else (value, b"")


def test_summary() -> None:
    """Shares are of all rows; `distinct_values_seen` stands where a vocabulary knows it."""
    schema = Schema("log", "y", ("n",), ("a", "b"), (7, 9))
    n, a = {"missing": 1, "min": 0, "max": 5}, {"missing": 0, "min": "x", "max": "z", "out_of_vocabulary": 2}
    parts = [{"rows": rows, "clicks": 1, "columns": {"n": n, "a": a, "b": a}} for rows in (3, 5)]
    found = summary(schema, parts, {"n": 4, "a": 5, "b": 6}, {"a": 8})
    assert (found["rows"], found["label_ratio"]) == (8, 0.25)
    assert found["columns"] == {
        "n": {"missing_share": 0.25, "min": 0, "max": 5, "distinct": 4},
        "a": {
            "missing_share": 0,
            "out_of_vocabulary_share": 0.5,
            "min": "x",
            "max": "z",
            "distinct": 5,
            "distinct_values_seen": 8,
            "table_rows": 7,
        },
        "b": {
            "missing_share": 0,
            "out_of_vocabulary_share": 0.5,
            "min": "x",
            "max": "z",
            "distinct": 6,
            "table_rows": 9,
        },
    }


def test_floats_that_are_no_numbers() -> None:
    """NaN is missing; infinite ones are neither smallest nor largest, since JSON has no word for them."""
    found = column_statistics(pa.array([1.5, None, float("nan"), float("-inf"), -2.0]))
    assert found == {"missing": 2, "min": -2.0, "max": 1.5}
