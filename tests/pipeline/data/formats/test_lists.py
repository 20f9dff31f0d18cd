"""pipeline/data/formats/lists.py: lists as table rows, from text and Parquet alike, against plain Python."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import DataConfig, Dataset, open_dataset
from pipeline.data.formats import features
from pipeline.data.formats.features import category_rows, text_hash
from pipeline.data.formats.lists import (
    ListError,
    kept_values,
    list_ids,
    lists_of_ids,
    padded_lists,
    split_lists,
)
from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.prepare.prepare import prepare
from pipeline.data.schema import Schema
from pipeline.run.files import read_json

WORDS = st.none() | st.sampled_from(["", "a", "bb", "long text", "ü"])
TEXTS = st.lists(st.none() | st.lists(WORDS, max_size=6), min_size=1, max_size=8)
NUMBERS = st.lists(
    st.none() | st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=6), min_size=1, max_size=8
)
MOST = st.integers(1, 4)
SCHEMA = Schema(
    "films",
    "seen",
    (),
    ("user", "genres", "history"),
    (90, 30, 41),
    integer_ids=("history",),
    delimiter=",",
    lists=("genres", "history"),
    max_list_values=(3, 4),
)


def by_hand(rows: list[list[Any] | None], most: int, number: Callable[[Any], int]) -> list[list[int]]:
    """Ids of each row by the rules in words."""
    found = [[number(value) for value in row or [] if value not in (None, "")][:most] or [0] for row in rows]
    return [row + [-1] * (most - len(row)) for row in found]


@given(TEXTS, MOST, st.sampled_from(["list", "large", "dictionary"]))
def test_text(rows: list[list[str | None] | None], most: int, kind: str) -> None:
    """Each value is numbered as a single one; null and empty ones are none; the first are kept; without any, row 0."""
    value = pa.dictionary(pa.int32(), pa.string()) if kind == "dictionary" else pa.string()
    column = pa.array(rows, pa.large_list(value) if kind == "large" else pa.list_(value))
    for start in (0, len(rows) // 2):  # an array may begin within its buffers
        ids, cut_rows = list_ids(column[start:], most, lambda values: category_rows(values, 30))
        assert ids.T.tolist() == by_hand(rows[start:], most, lambda value: 1 + text_hash(value) % 29)
        assert cut_rows == sum(len([one for one in row or [] if one]) > most for row in rows[start:])


@given(NUMBERS, MOST)
def test_whole_numbers(rows: list[list[int | None] | None], most: int) -> None:
    """By modulo, 0 among the values too."""
    ids, _ = list_ids(pa.array(rows, pa.list_(pa.int64())), most, lambda values: category_rows(values, 41))
    assert ids.T.tolist() == by_hand(rows, most, lambda value: 1 + value % 40)


@given(NUMBERS, MOST)
def test_a_prepared_file_keeps_them(rows: list[list[int | None] | None], most: int) -> None:
    """Ids → Arrow's lists → ids; read with less room, the first ones are kept."""
    ids, _ = list_ids(pa.array(rows, pa.list_(pa.int64())), most, lambda values: category_rows(values, 41))
    assert (padded_lists(lists_of_ids(ids), most) == ids).all()
    assert (padded_lists(lists_of_ids(ids), 1) == ids[:1]).all()


@given(st.lists(st.none() | st.text("ab|;ü ", max_size=9), min_size=1, max_size=8), st.sampled_from("|;"))
def test_separated_text(rows: list[str | None], separator: str) -> None:
    """As Python splits it."""
    kept = kept_values(split_lists(pa.array(rows, pa.string()), separator, is_whole=False), 99)
    found = [[] for _ in rows]  # type: list[list[str]]
    for row, value in zip(kept.row.tolist(), kept.values.to_pylist(), strict=True):
        found[row].append(value)
    assert found == [[value for value in (row or "").split(separator) if value] for row in rows]


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), min_size=1, max_size=8))
def test_separated_whole_numbers(rows: list[list[int]]) -> None:
    """Numbers of 64 bits, also signed, spaced, or absent between separators."""
    texts = ["| ".join(f"{value:+d}|" if value % 2 else str(value) for value in row) or None for row in rows]
    found = split_lists(pa.array(texts, pa.string()), "|", is_whole=True)
    assert [[value for value in row or [] if value is not None] for row in found.to_pylist()] == rows


@pytest.mark.parametrize("bad", ["x", "1.5", str(2**63), "1 2", "--1", "9" * 40])
def test_no_whole_number(bad: str) -> None:
    """The error has the row and the value."""
    with pytest.raises(ListError) as caught:
        split_lists(pa.array(["1|2", None, f"3||{bad}|y"]), "|", is_whole=True, name="history")
    assert (caught.value.row, caught.value.found, caught.value.column) == (2, bad, "history")


def rows_of(count: int = 400) -> dict[str, list[Any]]:
    """A log of lists of 0 to 6 values."""
    draw = np.random.default_rng(1)
    genres = [[f"g{value}" for value in draw.integers(0, 9, draw.integers(0, 7))] for _ in range(count)]
    history = [draw.integers(-5, 60, draw.integers(0, 7)).tolist() for _ in range(count)]
    users = [f"u{value}" for value in draw.integers(0, 20, count)]
    return {"seen": draw.integers(0, 2, count).tolist(), "user": users, "genres": genres, "history": history}


def write(folder: Path, kind: str, columns: dict[str, list[Any]], schema: Schema = SCHEMA) -> str:
    """The log as CSV, as Parquet with lists, or as Parquet with separated text."""
    texts = {
        name: [schema.list_separator.join(map(str, row)) for row in values] if name in schema.lists else values
        for name, values in columns.items()
    }
    path = folder / f"{kind}.{'csv' if kind == 'csv' else 'parquet'}"
    if kind == "csv":
        lines = [",".join(map(str, row)) for row in zip(*texts.values(), strict=True)]
        path.write_text("\n".join([",".join(texts), *lines]) + "\n")
    else:
        pq.write_table(pa.table(columns if kind == "lists" else texts), path, row_group_size=97)
    schema.save(folder / "films.json")
    return str(path)


def ids_of(dataset: Dataset, split: str = "train", seed: int | None = None) -> list[list[int]]:
    """The padded ids of a split's rows."""
    with dataset.stream(split, 16, shuffle_seed=seed, drop_last=False) as stream:
        return [row for batch in stream for row in batch.padded_ids(dataset.schema.id_places).tolist()]


@pytest.mark.parametrize("kind", ["csv", "lists", "texts"])
def test_a_log_of_lists(tmp_path: Path, kind: str) -> None:
    """From text, Parquet's lists and Parquet's text the same rows come, each by the rules in words."""
    columns = rows_of()
    path = write(tmp_path, kind, columns)
    config = DataConfig(path=path, schema=str(tmp_path / "films.json"), numbering="hash", split="in_order")
    found = ids_of(open_dataset(config, str(tmp_path / "home")))
    users = [[1 + text_hash(user) % 89] for user in columns["user"]]
    genres = by_hand(columns["genres"], 3, lambda value: 1 + text_hash(value) % 29)
    history = by_hand(columns["history"], 4, lambda value: 1 + value % 40)
    assert found == [a + b + c for a, b, c in zip(users, genres, history, strict=True)][:320]


def test_a_vocabulary_counts_what_is_kept(tmp_path: Path) -> None:
    """By occurrence in the training rows' kept values; of other values each is unknown (row 1); prepared alike."""
    columns = rows_of()
    columns["genres"][0] = ["g1", "g1", "g2", "beyond"]
    columns["genres"][-1] = ["late"]
    path = write(tmp_path, "csv", columns)
    config = DataConfig(path=path, schema=str(tmp_path / "films.json"), numbering="vocabulary", split="in_order")
    dataset = open_dataset(config, str(tmp_path / "home"))
    kept = [value for row in columns["genres"][:320] for value in row[:3]]
    order = sorted(set(kept), key=lambda value: (-kept.count(value), value))
    assert dataset.schema.table_sizes[1] == 2 + len(order) and "beyond" not in order
    number = {value: place for place, value in enumerate(order, start=2)}
    for split, part in (("train", slice(0, 320)), ("test", slice(360, 400))):
        expected = by_hand(columns["genres"][part], 3, lambda value: number.get(value, 1))
        assert [row[1:4] for row in ids_of(dataset, split)] == expected


@pytest.mark.parametrize("numbering", ["hash", "vocabulary"])
def test_prepared_logs_keep_them(tmp_path: Path, numbering: Any) -> None:
    """A prepared log gives the ids of the raw one (all of it counted), in any order, folded too; its statistics count
    what lists hold and lose."""
    columns = rows_of()
    path = write(tmp_path, "csv", columns)
    folder = tmp_path / "prepared"
    prepare(PrepareConfig(path, str(tmp_path / "films.json"), str(folder), numbering=numbering, processes=1))
    settings: dict[str, Any] = {"split": "in_order"}
    prepared = open_dataset(DataConfig(path=str(folder), **settings), str(tmp_path / "home"))
    whole = read_json(folder / "statistics.json")["columns"]["genres"]
    lengths = [len(row) for row in columns["genres"]]
    assert whole["longest"] == 3 and whole["cut_share"] == pytest.approx(np.mean(np.array(lengths) > 3))
    assert whole["mean_values"] == pytest.approx(np.minimum(lengths, 3).mean())
    assert whole["missing_share"] == pytest.approx(lengths.count(0) / 400)
    if numbering == "hash":
        raw = DataConfig(path=path, schema=str(tmp_path / "films.json"), numbering="hash", **settings)
        for seed in (None, 3):
            opened = open_dataset(raw, str(tmp_path / "raw"))
            assert sorted(ids_of(prepared, seed=seed)) == sorted(ids_of(opened, seed=seed))
    small = open_dataset(DataConfig(path=str(folder), max_table_rows=5, **settings), str(tmp_path / "small"))
    for own, full in zip(ids_of(small), ids_of(prepared), strict=True):
        assert own == [id if id < 1 else 1 + (id - 1) % 4 for id in full]


def test_on_any_ranks_and_resumed(tmp_path: Path) -> None:
    """Shuffled streams of two ranks, resumed on one, deliver each row once, with its own lists."""
    count = 300
    history = [[row] * (row % 4) + [row + 1] for row in range(count)]
    labels = [row % 2 for row in range(count)]
    path = write(
        tmp_path, "lists", {"seen": labels, "user": ["u"] * count, "genres": [["g"]] * count, "history": history}
    )
    sizes = {"split": "in_order", "numbering": "hash"}
    (tmp_path / "films.json").write_text((tmp_path / "films.json").read_text().replace("41", "1000"))
    dataset = open_dataset(DataConfig(path=path, schema=str(tmp_path / "films.json"), **sizes), str(tmp_path / "home"))  # type: ignore[arg-type]
    streams = [dataset.stream("train", 8, rank, 2, shuffle_seed=5) for rank in range(2)]
    batches = [next(stream) for _ in range(7) for stream in streams]
    with dataset.stream("train", 10, shuffle_seed=5, drop_last=False) as rest:
        rest.load_state_dict({**streams[0].state_dict(), "drop_last": False})
        batches += list(rest)
    found = [row[4:] for batch in batches for row in batch.padded_ids(dataset.schema.id_places).tolist()]
    expected = by_hand(history[:240], 4, lambda value: 1 + value % 999)  # type: ignore[arg-type]
    assert sorted(found) == sorted(expected)
    for stream in streams:
        stream.close()


def test_malformed_lists(tmp_path: Path) -> None:
    """A value that is no whole number is named with file, line and column in text, and with its row in Parquet; text
    can be set aside; a column of another type says what to do."""
    columns = rows_of(40)
    texts = {**columns, "history": [["1", "x"] if row == 30 else ["1"] for row in range(40)]}
    settings: dict[str, Any] = {"schema": str(tmp_path / "films.json"), "numbering": "hash", "split": "in_order"}
    path = write(tmp_path, "csv", texts)
    with pytest.raises(ValueError, match=r"csv.csv:32: column 'history': found 'x' in a list, expected whole numbers"):
        ids_of(open_dataset(DataConfig(path=path, **settings), str(tmp_path / "a")))
    aside = open_dataset(DataConfig(path=path, max_bad_rows=1, **settings), str(tmp_path / "b"))
    assert sum(aside.rows(split) for split in ("train", "valid", "test")) == 39
    path = write(tmp_path, "texts", texts)
    with pytest.raises(
        ValueError, match=r"texts.parquet: row 30 \(from 0\), column 'history': found 'x', expected whole"
    ):
        ids_of(open_dataset(DataConfig(path=path, **settings), str(tmp_path / "c")))
    path = write(tmp_path, "lists", texts)
    with pytest.raises(
        ValueError, match=r"column 'history' is of type list<.*>, expected lists of whole numbers, or text"
    ):
        open_dataset(DataConfig(path=path, **settings), str(tmp_path / "d"))
    path = write(tmp_path, "lists", {**columns, "user": [["u"]] * 40})
    with pytest.raises(
        ValueError, match=r"column 'user' is of type list<.*>, expected text; name it in the schema's lists"
    ):
        open_dataset(DataConfig(path=path, **settings), str(tmp_path / "e"))


def test_lists_that_are_cut_are_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A list of a million values costs no more than its first ones, and a line says so."""
    columns = rows_of(40)
    columns["genres"][5] = ["g"] * 1_000_000
    path = write(tmp_path, "lists", columns)
    features._say_cut.cache_clear()
    config = DataConfig(path=path, schema=str(tmp_path / "films.json"), numbering="hash", split="in_order")
    with caplog.at_level(logging.WARNING):
        found = ids_of(open_dataset(config, str(tmp_path / "home")))
    assert found[5][1:4] == [1 + text_hash("g") % 29] * 3
    said = [record.getMessage() for record in caplog.records if "genres" in record.getMessage()]
    assert said == ["films: some lists of column 'genres' have more than 3 values; the first ones are kept"]
