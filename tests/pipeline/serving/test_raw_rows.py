"""pipeline/serving/raw_rows.py: what it makes of raw values is what training's streams make of them."""

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import DataConfig, open_dataset
from pipeline.data.formats.features import decode
from pipeline.data.numbering import numbering
from pipeline.data.schema import Schema
from pipeline.run.records.codec import to_plain
from pipeline.run.records.model_card import ModelFile, RawRowsCard
from pipeline.serving import raw_rows
from pipeline.serving.raw_export import write_encoder
from pipeline.serving.raw_rows import RawRows, RowError

SCHEMA = Schema(
    "shop",
    "bought",
    ("price",),
    ("user", "item", "hour"),
    (97, 50, 25),
    integer_ids=("user",),
    hours=("hour",),
    columns=("bought", "price", "weight", "user", "item", "hour"),
    floats=("weight",),
)
NO_FILES = RawRowsCard(ModelFile("raw_rows.py", "", 0), None, {}, ())
ROW = {"price": 3, "weight": 0.5, "user": 7, "item": "pen", "hour": 14102107}
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = st.fixed_dictionaries(
    {
        "price": st.none() | INT64,
        "weight": st.none() | st.floats(allow_nan=True),
        "user": st.none() | INT64,
        "item": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        "hour": st.none() | st.integers(0, 99123123),
    }
)


def encoder(schema: Schema = SCHEMA, table_rows: tuple[int, ...] = ()) -> RawRows:
    """An encoder of a hashed log."""
    inputs: list[dict[str, Any]] = [{}, {"table_rows": list(table_rows or schema.table_sizes)}]
    document = {"schema": schema.to_json(), "numbering": numbering(schema, None, ""), "inputs": inputs}
    return RawRows({**document, "raw_rows": to_plain(NO_FILES)}, Path())


def decoded(rows: list[dict[str, Any]], schema: Schema = SCHEMA) -> tuple[list[list[float]], list[list[int]]]:
    """What streams make of the rows."""
    types = {"price": pa.int64(), "weight": pa.float64(), "user": pa.int64(), "item": pa.string(), "hour": pa.int64()}
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()}
    found = decode(pa.RecordBatch.from_pydict({"bought": pa.array([0] * len(rows)), **columns}), schema)
    return found.dense.T.tolist(), found.ids.T.tolist()


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_the_same_as_training(rows: list[dict[str, Any]]) -> None:
    """Numbers, text, whole numbers, hours and missing values, of any size: table rows are equal, dense inputs to
    rounding."""
    expected_dense, expected_ids = decoded(rows)
    dense, ids, errors = encoder().encode_all(rows)
    assert errors == {} and ids == expected_ids
    numpy.testing.assert_allclose(dense, expected_dense, rtol=1e-6)


@given(VALUES)
def test_text_is_read_as_numbers_are(row: dict[str, Any]) -> None:
    """A whole number written as text, as a line of raw text has it, is the number; empty text is missing."""
    text = {name: "" if value is None else str(value) for name, value in row.items()}
    found, expected = encoder().encode(text), encoder().encode(row)
    assert found[1] == expected[1]
    numpy.testing.assert_allclose(found[0], expected[0], rtol=1e-6)


def test_smaller_tables() -> None:
    """A table of fewer rows than the numbering has: rows are folded, the missing one stays."""
    small = encoder(table_rows=(11, 7, 25))
    for user in (None, 0, 5, 95, 96, -1):
        (_, whole), (_, folded) = encoder().encode({**ROW, "user": user}), small.encode({**ROW, "user": user})
        assert folded[0] == (0 if whole[0] == 0 else 1 + (whole[0] - 1) % 10)
        assert folded[1] == 1 + (whole[1] - 1) % 6 and folded[2] == whole[2]


def test_no_numbers() -> None:
    """A log without numeric columns has one constant dense input."""
    schema = dataclasses.replace(SCHEMA, integers=(), floats=())
    assert encoder(schema).encode(ROW)[0] == [1.0]


HOSTILE: list[tuple[str, Any, str]] = [
    ("price", "12x", "column 'price': found '12x', expected a whole number"),
    ("price", [1, 2], "column 'price': found a value of type list"),
    ("price", 2**64, "expected a whole number of 64 bits"),
    ("price", 10**5000, "a whole number of 16610 bits"),
    ("user", 0.5, "column 'user': found 0.5"),
    ("user", "9" * 1_000_000, "expected a whole number"),
    ("user", float("inf"), "column 'user': found inf"),
    ("weight", "one", "column 'weight': found 'one', expected a number"),
    ("weight", {"a": 1}, "found a value of type dict"),
    ("item", 5, "column 'item': found 5, expected text"),
    ("item", ["a"] * 1_000_000, "found a value of type list"),
    ("item", b"\xff\xfe", "expected UTF-8 text"),
    ("item", "\ud800", "expected UTF-8 text"),
    ("hour", "2014-10-21", "column 'hour': found '2014-10-21'"),
]


@pytest.mark.parametrize(("column", "value", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_values_are_errors_of_their_row(column: str, value: Any, message: str) -> None:
    """The row is named with column, value (its beginning) and what was expected; the rows beside it are encoded."""
    dense, ids, errors = encoder().encode_all([ROW, {**ROW, column: value}, ROW])
    assert list(errors) == [1] and message in errors[1] and len(errors[1]) < 200
    assert dense[0] == dense[2] and ids[0] == ids[2] == encoder().encode(ROW)[1]
    assert dense[1] == [0.0, 0.0] and ids[1] == [0, 0, 0]


@pytest.mark.parametrize("row", [None, 3, "row", [1], {"price": 1}])
def test_what_is_no_row(row: Any) -> None:
    """Something else than a row, or one that lacks a column."""
    with pytest.raises(RowError, match=r"expected the row's values|is absent; give null"):
        encoder().encode(row)


@pytest.mark.parametrize("value", [True, 5.0, float("nan"), "", " 5 ", 1e300, "1e400", "x" * 2**20])
def test_odd_values_that_are_fine(value: Any) -> None:
    """Booleans and whole floats count as numbers, NaN is missing, spaces around numbers do not matter; text may be
    long."""
    column = "item" if isinstance(value, str) and value.startswith("x") else "weight"
    dense, ids = encoder().encode({**ROW, column: value})
    assert all(numpy.isfinite(dense)) and all(0 <= row < size for row, size in zip(ids, (97, 50, 25), strict=True))


def test_lines() -> None:
    """A line of raw text, as bytes or text, with the label or without, is the row of its values."""
    rows = encoder()
    expected = {"price": "3", "weight": "0.5", "user": "7", "item": "pen", "hour": "14102107"}
    assert rows.parse("1\t3\t0.5\t7\tpen\t14102107\n") == {"bought": "1", **expected}
    assert rows.parse(b"3\t0.5\t7\tpen\t14102107\r\n") == expected
    assert rows.encode(rows.parse("\t\t\t\t\t"))[1] == [0, 0, 0]
    for line in ("1\t2", b"\xff\t1\t1\t1\t1\t1", "1\t" * 1_000_000):
        with pytest.raises(RowError, match=r"columns, expected 6|cannot be read"):
            rows.parse(line)


def test_a_timestamp_is_not_demanded() -> None:
    """A row to be scored needs no time, and a line may lack it with the label; a time that is an input is needed."""
    columns = ("bought", "when", "price", "weight", "user", "item", "hour")
    rows = encoder(dataclasses.replace(SCHEMA, columns=columns, timestamp="when"))
    assert rows.encode(ROW) == encoder().encode(ROW) == rows.encode({**ROW, "when": "yesterday"})
    expected = {"price": "3", "weight": "0.5", "user": "7", "item": "pen", "hour": "14102107"}
    assert rows.parse("1\t2024-05-01\t3\t0.5\t7\tpen\t14102107") == {"bought": "1", "when": "2024-05-01", **expected}
    assert rows.parse("2024-05-01\t3\t0.5\t7\tpen\t14102107") == {"when": "2024-05-01", **expected}
    assert rows.parse("3\t0.5\t7\tpen\t14102107") == expected
    both = encoder(dataclasses.replace(SCHEMA, timestamp="hour"))
    with pytest.raises(RowError, match="column 'hour' is absent"):
        both.encode({name: value for name, value in ROW.items() if name != "hour"})
    with pytest.raises(RowError, match="found 4 columns, expected 6"):
        both.parse("3\t0.5\t7\tpen")


def test_comma_separated_lines() -> None:
    """Files with commas may quote and have a header, whose columns are given."""
    rows = encoder(dataclasses.replace(SCHEMA, columns=(), delimiter=","))
    header = ("item", "price", "weight", "user", "hour", "bought")
    assert rows.parse('"a ""b"", c",1,2,3,4,0', header)["item"] == 'a "b", c'
    with pytest.raises(RowError, match="cannot be read"):
        rows.parse(f'"{"x" * csv.field_size_limit()}x",1,2,3,4,0', header)
    with pytest.raises(ValueError, match="columns are needed"):
        rows.parse("a,1,2,3,4,0")


@pytest.mark.parametrize("min_count", [1, 3])
def test_vocabularies(tmp_path: Path, min_count: int) -> None:
    """Values of a vocabulary, those seen too seldom, those never seen, and missing ones, of text and of whole numbers:
    the rows that the log's streams have."""
    generator = numpy.random.default_rng(3)
    path = tmp_path / "log.csv"
    with path.open("w") as file:
        file.write("bought,user,item\n")
        for _ in range(600):
            item = "" if generator.random() < 0.1 else f"i\N{LATIN SMALL LETTER U WITH DIAERESIS}{generator.zipf(1.5)}"
            file.write(f"{generator.integers(2)},{generator.integers(-20, 20)},{item}\n")
    schema = Schema("shop", "bought", (), ("user", "item"), (500, 500), integer_ids=("user",), delimiter=",")
    schema.save(tmp_path / "schema.json")
    home = tmp_path / "run" / "data"
    config = DataConfig(
        path=str(path), schema=str(tmp_path / "schema.json"), numbering="vocabulary", min_count=min_count
    )
    dataset = open_dataset(config, str(home))
    card = write_encoder(home.parent, dataset.numbering)
    assert card.vocabulary is not None and set(card.vocabulary_values) == {"user", "item"}
    document = {
        "schema": dataset.schema.to_json(),
        "numbering": dataset.numbering,
        "inputs": [{}, {"table_rows": list(dataset.schema.table_sizes)}],
        "raw_rows": to_plain(card),
    }
    (home.parent / "model.json").write_text(json.dumps(document))
    rows = RawRows.load(home.parent / "model.json")
    for split in ("train", "test"):
        raw = dataset.raw_rows(split, dataset.rows(split))
        with dataset.stream(split, len(raw), drop_last=False) as stream:
            expected = next(stream).ids.tolist()
        assert rows.encode_all(raw)[1:] == (expected, {})
        assert not min_count > 1 or any(1 in row for row in expected)
    assert rows.encode({"user": 10**6, "item": "never seen"})[1] == [1, 1]
    (home.parent / "vocabulary.bin").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"vocabulary\.bin is not the file that model\.json describes"):
        RawRows.load(home.parent / "model.json")


def test_it_needs_nothing_but_python(tmp_path: Path) -> None:
    """A Python without any installed package runs a copy of the file."""
    (tmp_path / "raw_rows.py").write_bytes(Path(raw_rows.__file__).read_bytes())
    document = {
        "schema": SCHEMA.to_json(),
        "numbering": numbering(SCHEMA, None, ""),
        "inputs": [{}, {"table_rows": list(SCHEMA.table_sizes)}],
        "raw_rows": to_plain(NO_FILES),
    }
    (tmp_path / "model.json").write_text(json.dumps(document))
    program = f"import raw_rows, json; print(json.dumps(raw_rows.RawRows.load('model.json').encode({ROW!r})))"
    command = [sys.executable, "-S", "-E", "-c", program]
    printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert json.loads(printed) == [list(part) for part in encoder().encode(ROW)]


FILMS = Schema(
    "films",
    "seen",
    (),
    ("genres", "user", "history"),
    (97, 50, 41),
    integer_ids=("user", "history"),
    delimiter=",",
    lists=("genres", "history"),
    list_separator=";",
    max_list_values=(3, 2),
)
LISTS = st.fixed_dictionaries(
    {
        "genres": st.none()
        | st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=6),
        "user": st.none() | INT64,
        "history": st.none() | st.lists(st.none() | INT64, max_size=5),
    }
)


def film_rows(schema: Schema = FILMS) -> RawRows:
    """An encoder of a log with lists."""
    inputs: list[dict[str, Any]] = [{}, {"table_rows": list(schema.table_sizes), "places": list(schema.id_places)}]
    document = {"schema": schema.to_json(), "numbering": numbering(schema, None, ""), "inputs": inputs}
    return RawRows({**document, "raw_rows": to_plain(NO_FILES)}, Path())


@given(st.lists(LISTS, min_size=1, max_size=5))
def test_lists_are_as_in_training(rows: list[dict[str, Any]]) -> None:
    """Of any length, with missing values among theirs: the table rows of streams, -1 behind the last."""
    types = {"genres": pa.list_(pa.string()), "user": pa.int64(), "history": pa.list_(pa.int64())}
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()}
    expected = decode(pa.RecordBatch.from_pydict({"seen": pa.array([0] * len(rows)), **columns}), FILMS).ids.T.tolist()
    assert film_rows().encode_all(rows)[1:] == (expected, {})


def test_lists_as_text() -> None:
    """A line has them with the separator between; a smaller table folds their rows."""
    rows = film_rows()
    line = rows.parse("a;;b,7,3; 4;5", ("genres", "user", "history", "seen"))
    assert rows.encode(line) == rows.encode({"genres": ("a", "b"), "user": 7, "history": [3, 4.0]})
    assert rows.encode({"genres": b"", "user": None, "history": ";"})[1] == [0, -1, -1, 0, 0, -1]
    inputs: list[dict[str, Any]] = [{}, {"table_rows": [5, 50, 41], "places": [3, 1, 2]}]
    document = {"schema": FILMS.to_json(), "numbering": numbering(FILMS, None, ""), "inputs": inputs}
    small = RawRows({**document, "raw_rows": to_plain(NO_FILES)}, Path())
    (whole, folded) = (one.encode(line)[1][:3] for one in (rows, small))
    assert folded == [id if id < 1 else 1 + (id - 1) % 4 for id in whole]


HOSTILE_LISTS: list[tuple[str, Any, str]] = [
    ("genres", 5, "column 'genres': found 5, expected a list of values, text of them, or nothing"),
    ("genres", {"a": 1}, "column 'genres': found a value of type dict"),
    ("genres", [["a"]], "column 'genres': found a value of type list, expected text"),
    ("genres", ["a", "\ud800"], "expected UTF-8 text"),
    ("genres", b"\xff;a", "expected UTF-8 text"),
    ("genres", {"a"}, "found a value of type set"),
    ("history", ["x"], "column 'history': found 'x', expected a whole number"),
    ("history", "1;x", "column 'history': found 'x', expected a whole number"),
    ("history", [2**64], "expected a whole number of 64 bits"),
    ("history", [float("inf")], "column 'history': found inf"),
]


@pytest.mark.parametrize(("column", "value", "message"), HOSTILE_LISTS, ids=range(len(HOSTILE_LISTS)))
def test_hostile_lists_are_errors_of_their_row(column: str, value: Any, message: str) -> None:
    """The row is named with column, value and what was expected, and stands for nothing; a model takes it."""
    row = {"genres": ["a"], "user": 1, "history": [2]}
    _, ids, errors = film_rows().encode_all([row, {**row, column: value}, row])
    assert list(errors) == [1] and message in errors[1] and len(errors[1]) < 200
    assert ids[0] == ids[2] and ids[1] == [0, -1, -1, 0, 0, -1]


@pytest.mark.parametrize("value", [["a"] * 1_000_000, ";".join(["a"] * 1_000_000), [None] * 1_000_000 + ["a"]])
def test_a_million_values(value: Any) -> None:
    """The first ones that are there are kept."""
    ids = film_rows().encode({"genres": value, "user": 1, "history": None})[1]
    assert ids[:3] == film_rows().encode({"genres": ["a"] * (3 if value[0] else 1), "user": 1, "history": None})[1][:3]
