"""pipeline/data/propose.py: the roles of columns, case by case."""

import dataclasses
from typing import Any

import pytest

from pipeline.data.profile import ColumnProfile, ListProfile, LogProfile
from pipeline.data.propose import propose
from pipeline.data.schema import BUILT_IN


def column(name: str, kind: Any, distinct: int, lowest: float | None = None, highest: float | None = None) -> Any:
    """A column without missing values."""
    return ColumnProfile(name, kind, 0, distinct, lowest, highest, (("x", 1),))


def lists(name: str, kind: Any, distinct: int) -> ColumnProfile:
    """A column of lists of up to five values."""
    span = (1, 900) if "number" in kind else (None, None)
    return dataclasses.replace(column(name, "lists", distinct, *span), lists=ListProfile(kind, 2.5, 5))


LABEL = column("clicked", "whole numbers", 2, 0, 1)
ITEM = column("item", "text", 300)


def log(*columns: ColumnProfile, rows: int = 10_000, **changes: Any) -> LogProfile:
    """A profiled log of text."""
    return LogProfile(rows, True, columns, **{"delimiter": ",", **changes})


@pytest.mark.parametrize(
    ("own", "role"),
    [
        (column("price", "numbers", 900, 0.1, 40.0), "floats"),
        (column("balance", "whole numbers", 900, -5, 4_000), "floats"),
        (column("view_count", "whole numbers", 900, 0, 40_000), "integers"),
        (column("int_3", "whole numbers", 900, 0, 40_000), "integers"),
        (column("count", "whole numbers", 7, 0, 6), "categories"),
        (column("user", "whole numbers", 900, 17, 40_000), "categories"),
        (column("C14", "whole numbers", 900, 17, 40_000), "categories"),
        (column("country", "text", 40), "categories"),
        (column("session", "text", 9_990), "nearly every row has a text of its own"),
        (column("row_id", "whole numbers", 9_990, 0, 9_999), "nearly every row has an id of its own"),
        (column("created_time", "whole numbers", 9_000, 1.7e9, 1.8e9), "it looks like a time"),
        (column("version", "text", 1), "it holds one value alone"),
        (column("nothing", "nothing", 0), "it holds no value"),
        (lists("genres", "text", 40), "lists"),
        (lists("history", "whole numbers", 900), "lists"),
        (lists("prices", "numbers", 900), "it holds lists of decimal numbers, which are not read"),
        (lists("empty", "nothing", 0), "it holds no value"),
    ],
)
def test_roles(own: ColumnProfile, role: str) -> None:
    """A column's role follows from its name and values; what says nothing is left out with the reason."""
    found = propose(log(LABEL, ITEM, own), "shop")
    if hasattr(found.schema, role):
        assert own.name in getattr(found.schema, role) and not found.left_out
    else:
        assert found.left_out == {own.name: role} and own.name not in found.schema.inputs
    assert found.schema.label == "clicked" and "item" in found.schema.categories


def times(name: str, rises: bool = False, **changes: Any) -> ColumnProfile:
    """A column of dates."""
    return dataclasses.replace(column(name, "times", 900), rises=rises, **changes)


@pytest.mark.parametrize(
    ("columns", "timestamp"),
    [
        ([times("timestamp")], "timestamp"),
        ([times("release_date"), times("ts", missing=0)], "ts"),
        ([column("TIME", "whole numbers", 9_000, 1.7e9, 1.8e9)], "TIME"),
        ([column("timestamp", "numbers", 9_000, 1.7e9, 1.8e9)], "timestamp"),
        ([column("date", "whole numbers", 30, 20240501, 20240530), times("event_time")], "event_time"),
        ([times("signup_date"), times("logged_date", rises=True)], "logged_date"),
        ([dataclasses.replace(column("ts", "whole numbers", 9_000, 0, 86_400), rises=True)], "ts"),
        ([times("release_date")], ""),
        ([times("moment", rises=True)], ""),
        ([times("timestamp", missing=3)], ""),
        ([times("date", distinct=2)], ""),
        ([column("time", "whole numbers", 9_000, 0, 86_400)], ""),
        ([column("time", "text", 9_000)], ""),
    ],
)
def test_timestamps(columns: list[ColumnProfile], timestamp: str) -> None:
    """The likeliest name among columns of times in every row, else one named so that rises; it is then no input."""
    found = propose(log(LABEL, ITEM, *columns), "shop")
    assert found.schema.timestamp == timestamp
    assert not timestamp or (timestamp not in found.schema.inputs and timestamp not in found.left_out)


def test_times_that_are_no_timestamp() -> None:
    """In text they are categories as any text; Parquet's have a type of their own, which none is."""
    film = times("release_date")
    assert "release_date" in propose(log(LABEL, ITEM, film), "shop").schema.categories
    assert propose(log(LABEL, ITEM, film, delimiter=""), "shop").left_out == {"release_date": "it holds times"}


def test_tables() -> None:
    """Whole numbers get a row for each number of their range and one for missing; text as many as hashing wants."""
    schema = propose(log(LABEL, ITEM, column("user", "whole numbers", 300, 1_000, 1_999)), "shop").schema
    assert dict(zip(schema.categories, schema.table_sizes, strict=True)) == {"item": 10_001, "user": 1_001}
    assert schema.integer_ids == ("user",)


def test_labels() -> None:
    """By name among columns of zeros and ones, likelier names first; the only such column; else the user says."""
    others = [column(name, "whole numbers", 2, 0, 1) for name in ("is_mobile", "conversion", "click")]
    assert propose(log(*others, ITEM), "shop").schema.label == "click"
    assert propose(log(others[0], ITEM), "shop").schema.label == "is_mobile"
    two = [others[0], column("is_new", "whole numbers", 2, 0, 1)]
    with pytest.raises(ValueError, match=r"\['is_mobile', 'is_new'\] hold zeros and ones; give --label NAME"):
        propose(log(*two, ITEM), "shop")
    assert propose(log(*two, ITEM), "shop", "is_new").schema.label == "is_new"
    with pytest.raises(ValueError, match="none holds zeros and ones alone; give --label"):
        propose(log(ITEM), "shop")
    with pytest.raises(ValueError, match="label 'sold' is no column"):
        propose(log(LABEL, ITEM), "shop", "sold")
    with pytest.raises(ValueError, match=r"no column of .* looks like a category"):
        propose(log(LABEL, column("price", "numbers", 900, 0.1, 40.0)), "shop")


def test_known_logs() -> None:
    """Criteo's 40 columns without a header, and Avazu's by their names, are the built-in schemas."""
    criteo = [column(f"column{place:02}", "text", 5) for place in range(40)]
    assert propose(log(*criteo, has_header=False, delimiter="\t"), "day_0").schema is BUILT_IN["criteo"]
    avazu = [column(name, "text", 5) for name in ("id", *BUILT_IN["avazu"].inputs)]
    assert propose(log(*avazu), "train").schema is BUILT_IN["avazu"]


def test_without_a_header() -> None:
    """Then the schema names every column in its order."""
    columns = [column("column0", "whole numbers", 2, 0, 1), column("column1", "text", 9), column("column2", "text", 1)]
    schema = propose(log(*columns, has_header=False, delimiter="|"), "shop").schema
    assert (schema.columns, schema.delimiter, schema.label) == (("column0", "column1", "column2"), "|", "column0")


def test_lists_have_room_for_what_was_seen() -> None:
    """Their tables are as those of single values; they keep the next power of two of the longest list."""
    schema = propose(log(LABEL, ITEM, lists("genres", "text", 40), lists("seen", "whole numbers", 900)), "shop").schema
    assert (schema.lists, schema.max_list_values, schema.integer_ids) == (("genres", "seen"), (8, 8), ("seen",))
    assert schema.table_sizes[1:] == (10_001, 901)
