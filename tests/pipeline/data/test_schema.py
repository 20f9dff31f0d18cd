"""pipeline/data/schema.py: what a schema accepts, and what its JSON says of every mistake."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.schema import BUILT_IN, MIN_HASHED_ROWS, Schema


def small(**changes: Any) -> dict[str, Any]:
    """A valid schema's JSON with some keys changed."""
    document = {"name": "shop", "label": "y", "integers": ["price"], "categories": ["a", "b"], "table_sizes": [10, 20]}
    return {**document, **changes}


@pytest.mark.parametrize("name, integers, categories", [("criteo", 13, 26), ("avazu", 0, 22), ("kdd2012", 0, 10)])
def test_built_in(name: str, integers: int, categories: int) -> None:
    """The built-in schemas have the published numbers of columns; without integers the dense width is one."""
    schema = Schema.load(name)
    assert (schema.num_integers, schema.num_categories) == (integers, categories)
    assert schema.dense_width == max(integers, 1)
    assert len(schema.table_sizes) == categories


def test_criteo_speaks_torchrec() -> None:
    """Criteo's columns and tables are named as torchrec's own readers name them, and sized as published."""
    from torchrec.datasets.criteo import CAT_FEATURE_COUNT, DEFAULT_CAT_NAMES, DEFAULT_INT_NAMES, DEFAULT_LABEL_NAME

    schema = BUILT_IN["criteo"]
    assert list(schema.columns) == [DEFAULT_LABEL_NAME, *DEFAULT_INT_NAMES, *DEFAULT_CAT_NAMES]
    assert schema.num_categories == CAT_FEATURE_COUNT
    assert schema.table_names[:2] == ("t_cat_0", "t_cat_1")

    assert schema.table_sizes[2] == 10131227 + 1
    assert min(schema.table_sizes) == MIN_HASHED_ROWS + 1
    assert BUILT_IN["criteo_terabyte"].table_sizes[19] == 48937457 + 1


def test_no_outcome_among_the_inputs() -> None:
    """KDD Cup's `impression` counts how often the row was shown, Avazu's `id` names it: neither is read."""
    assert "impression" in BUILT_IN["kdd2012"].columns
    assert "impression" not in BUILT_IN["kdd2012"].inputs
    assert "id" not in BUILT_IN["avazu"].inputs


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_json_round_trip(name: str, tmp_path: Path) -> None:
    """A schema survives its JSON file exactly."""
    BUILT_IN[name].save(tmp_path / "schema.json")
    assert Schema.load(str(tmp_path / "schema.json")) == BUILT_IN[name]


def test_name_defaults_to_the_file(tmp_path: Path) -> None:
    """A user's JSON needs the four essential keys only."""
    document = small()
    del document["name"]
    (tmp_path / "mine.json").write_text(json.dumps(document))
    assert Schema.load(str(tmp_path / "mine.json")).name == "mine"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"tables": [1]}, r"unknown keys \['tables'\]"),
        ({"label": ""}, "schema.label is empty"),
        ({"categories": [], "table_sizes": []}, "schema.categories is empty"),
        ({"integers": ["a"]}, r"\['a'\] occur more than once"),
        ({"categories": ["b", "b"]}, r"\['b'\] occur more than once"),
        ({"columns": ["y", "price", "a", "b", "b"]}, r"schema.columns: \['b'\] occur more than once"),
        ({"table_sizes": [10]}, "schema.table_sizes has 1 entries for 2 categories"),
        ({"table_sizes": [10, 0]}, "schema.table_sizes of 'b' is 0"),
        ({"table_sizes": [10, -5]}, "schema.table_sizes of 'b' is -5"),
        ({"table_sizes": [10, 2**31]}, "schema.table_sizes of 'b' is 2147483648"),
        ({"table_sizes": [10, 2.5]}, "schema.table_sizes is"),
        ({"table_sizes": [10, True]}, "schema.table_sizes is"),
        ({"integers": "price"}, "schema.integers is 'price'"),
        ({"count_label": 1}, "schema.count_label is 1"),
        ({"integer_ids": ["c"]}, r"schema.integer_ids: \['c'\]"),
        ({"hours": ["price"]}, r"schema.hours: \['price'\]"),
        ({"lists": ["price"]}, r"schema.lists: \['price'\] are not among schema.categories"),
        ({"lists": ["a"], "hours": ["a"]}, r"schema.hours: \['a'\] are in schema.lists too"),
        ({"lists": ["a"], "timestamp": "a"}, r"schema.timestamp: \['a'\] are in schema.lists too"),
        ({"lists": ["a", "a"]}, r"schema.lists: \['a'\] occur more than once"),
        ({"lists": ["a"], "list_separator": "\t"}, r"schema.list_separator is '\\t', which is the delimiter"),
        ({"lists": ["a"], "list_separator": '"'}, "schema.list_separator is '\"'; give one character"),
        ({"lists": ["a"], "list_separator": ""}, "schema.list_separator is ''; give one character"),
        ({"lists": ["a"], "integer_ids": ["a"], "list_separator": "-"}, "schema.list_separator is '-'"),
        ({"list_separator": ";"}, "schema.list_separator is ';', but schema.lists is empty"),
        ({"max_list_values": [3]}, r"schema.max_list_values is \(3,\), but schema.lists is empty"),
        ({"lists": ["a"], "max_list_values": [3, 4]}, "schema.max_list_values has 2 entries for 1 lists"),
        ({"lists": ["a"], "max_list_values": [0]}, "schema.max_list_values of 'a' is 0; use 1 to 4096"),
        ({"lists": ["a"], "max_list_values": [5000]}, "schema.max_list_values of 'a' is 5000"),
        ({"hours": ["a"], "integer_ids": ["a"]}, "schema.hours"),
        ({"columns": ["y", "a", "b"]}, r"schema.columns lacks \['price'\]"),
        ({"columns": ["y", "price", "a", "b"], "timestamp": "when"}, r"schema.columns lacks \['when'\]"),
        ({"timestamp": "y"}, "schema.timestamp is 'y', which is the label"),
        ({"timestamp": ["when"]}, "schema.timestamp is"),
        ({"delimiter": "::"}, "schema.delimiter is '::'"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Each mistake in a JSON schema is a ValueError naming file and field."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(small(**changes)))
    with pytest.raises(ValueError, match=message) as caught:
        Schema.load(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("key", ["label", "integers", "categories", "table_sizes"])
def test_missing_key(key: str) -> None:
    """A missing essential key is named."""
    document = small()
    del document[key]
    with pytest.raises(ValueError, match=key):
        Schema.from_json(document)


def test_not_an_object() -> None:
    """JSON of another kind is refused."""
    with pytest.raises(ValueError, match="expected a JSON object"):
        Schema.from_json([1, 2])


def test_unknown_schema() -> None:
    """A name that is neither built in nor a file lists what there is."""
    with pytest.raises(ValueError, match=r"'criteoo'.*avazu.*criteo.*kdd2012"):
        Schema.load("criteoo")


def test_timestamp() -> None:
    """It is used and no input, unless it is named as one as well."""
    alone, both = Schema.from_json(small(timestamp="when")), Schema.from_json(small(timestamp="a"))
    assert alone.used == (*alone.inputs, "when") and "when" not in alone.inputs
    assert both.used == both.inputs == Schema.from_json(small()).used


def test_avazu_by_time() -> None:
    """Avazu's own columns, the hour both a category and the timestamp; plain Avazu is split by row."""
    avazu, by_time = BUILT_IN["avazu"], BUILT_IN["avazu_by_time"]
    assert (avazu.timestamp, by_time.timestamp) == ("", "hour") and "hour" in by_time.hours
    assert by_time.used == avazu.used and by_time.table_sizes == avazu.table_sizes


def test_cap() -> None:
    """A cap shortens the longer tables only; below two rows it is refused."""
    schema = Schema.from_json(small())
    assert schema.with_max_rows(15).table_sizes == (10, 15)
    with pytest.raises(ValueError, match="max_table_rows is 1"):
        schema.with_max_rows(1)


def test_lists() -> None:
    """A list has room for as many ids as it keeps, 64 by default; JSON both ways; a part of the categories keeps its
    lists; what describes a log without lists does not speak of them."""
    schema = Schema.from_json(small(lists=["b"]))
    assert (schema.id_places, schema.num_ids) == ((1, 64), 65)
    schema = Schema.from_json(small(lists=["b"], max_list_values=[3], list_separator=";"))
    assert schema.id_places == (1, 3) and Schema.from_json(schema.to_json()) == schema
    assert schema.with_categories(("b",), (7,)).id_places == (3,)
    assert schema.with_categories(("a",), (7,)).lists == ()
    assert not {"lists", "list_separator", "max_list_values"} & set(Schema.from_json(small()).to_json())


@given(st.lists(st.text("a._23", min_size=1, max_size=5), min_size=1, max_size=8, unique=True))
def test_tables_have_names_of_their_own(columns: list[str]) -> None:
    """Whatever the columns are called, their tables' names differ and have no dot, which torchrec divides paths by."""
    names = Schema("log", "label", (), tuple(columns), (9,) * len(columns)).table_names
    assert len(set(names)) == len(columns) and not any("." in name for name in names)
    assert all(name.startswith("t_") for name in names)
