"""pipeline/serving/remembered_rows.py: what is remembered is what the encoder gives."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.numbering import numbering
from pipeline.run.records.codec import to_plain
from pipeline.serving import remembered_rows
from pipeline.serving.raw_rows import RawRows, RowError
from pipeline.serving.remembered_rows import LONGEST_VALUE, Remembered, RememberedRows
from tests.pipeline.serving.test_raw_rows import HOSTILE, NO_FILES, ROW, SCHEMA, VALUES, encoder

VALUE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.none(), max_size=1)


def outcome(encoder: Any, row: Any) -> Any:
    """What it gives, or the error's text; the sign of a zero does not count."""
    try:
        dense, ids = encoder.encode(row)
        return [number + 0.0 for number in dense], ids
    except RowError as error:
        return str(error)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_the_same_again_and_again(rows: list[dict[str, Any]]) -> None:
    """Rows met for the first time or the second are encoded alike."""
    plain, remembered = encoder(), RememberedRows(encoder())
    for row in [*rows, *rows]:
        assert remembered.encode(row) == plain.encode(row)


@given(st.lists(st.sampled_from(sorted(ROW)), min_size=1, max_size=4), st.lists(VALUE, min_size=4, max_size=4))
def test_any_values(columns: list[str], values: list[Any]) -> None:
    """Values of any type, equal ones of different types among them, have the same outcome, errors included."""
    plain, remembered = encoder(), RememberedRows(encoder())
    for value in [*values, True, 1, 1.0, 0, False, -0.0, "1", *values]:
        row = {**ROW, **dict.fromkeys(columns, value)}
        assert outcome(remembered, row) == outcome(plain, row)


@pytest.mark.parametrize(("column", "value", "_"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_values(column: str, value: Any, _: str) -> None:
    """They are the same errors, twice."""
    plain, remembered, row = encoder(), RememberedRows(encoder()), {**ROW, column: value}
    assert outcome(remembered, row) == outcome(remembered, row) == outcome(plain, row)


@pytest.mark.parametrize("row", [None, 3, "row", [1], {"price": 1}])
def test_what_is_no_row(row: Any) -> None:
    """The encoder's own error."""
    assert outcome(RememberedRows(encoder()), row) == outcome(encoder(), row)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many values there are, no more are held than may be; long ones are not held."""
    monkeypatch.setattr(remembered_rows, "MOST_VALUES", 10)
    asked = list[Any]()

    def encode(value: Any) -> int:
        asked.append(value)
        return len(asked)

    known = Remembered(encode)
    for value in range(1000):
        assert known[value] == known[value] and len(known) <= 10
    assert asked == list(range(1000))
    assert known["x" * LONGEST_VALUE * 2] != known["x" * LONGEST_VALUE * 2]


@given(
    st.lists(st.none() | st.text("ab|", max_size=6) | st.lists(st.none() | st.text("ab", max_size=2) | st.integers()))
)
def test_lists(values: list[Any]) -> None:
    """Lists of values, and text of several, are what the encoder makes of them; what is none is its error."""
    schema = dataclasses.replace(SCHEMA, lists=("item",), list_separator="|", max_list_values=(3,))
    inputs: list[dict[str, Any]] = [{}, {"table_rows": list(SCHEMA.table_sizes), "places": list(schema.id_places)}]
    document = {"schema": schema.to_json(), "numbering": numbering(schema, None, ""), "inputs": inputs}
    plain = RawRows({**document, "raw_rows": to_plain(NO_FILES)}, Path())
    remembered = RememberedRows(plain)
    for value in [*values, *values, 3, {"a": 1}]:
        row = {**ROW, "item": value}
        assert outcome(remembered, row) == outcome(plain, row)
