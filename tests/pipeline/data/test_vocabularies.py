"""pipeline/data/vocabularies.py: raw logs numbered by the values of their training rows, counted once."""

import collections
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data import DataConfig, Schema, open_dataset, vocabularies
from pipeline.data.dataset import SPLITS, Dataset
from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.prepare.prepare import prepare

TEXT = Schema(
    "shop", "label", ("row",), ("word", "short", "item"), (10_001, 10_001, 40), ("item",),
    columns=("label", "row", "word", "short", "item"),
)  # fmt: skip
Values = list[str | int | None]


def make_rows(count: int, seed: int = 0) -> dict[str, Values]:
    """Columns with missing, frequent and rare values: text of any length, of 8 bytes, and whole numbers."""
    draws = np.random.default_rng(seed)
    number = draws.zipf(1.3, size=(3, count)) % 700
    missing = draws.random((3, count)) < 0.1
    made: dict[str, Values] = {"label": [int(n % 2) for n in range(count)], "row": list(range(count))}
    made["word"] = [None if gone else f"w{n}é" for n, gone in zip(number[0], missing[0], strict=True)]
    made["short"] = [None if gone else f"{n:08x}" for n, gone in zip(number[1], missing[1], strict=True)]
    made["item"] = [None if gone else int(n) for n, gone in zip(number[2], missing[2], strict=True)]
    return made


def write(folder: Path, kind: str, rows: dict[str, Values]) -> DataConfig:
    """The rows as a log of a kind; the settings that open it."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "text":
        lines = zip(
            *(["" if value is None else str(value) for value in column] for column in rows.values()), strict=True
        )
        (folder / "log.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    else:
        word = pa.array(rows["word"]).dictionary_encode() if kind == "dictionary" else pa.array(rows["word"])
        pq.write_table(pa.table({**rows, "word": word}), folder / "log.parquet", row_group_size=97)
    TEXT.save(folder / "schema.json")
    return DataConfig(path=str(folder))


def delivered(dataset: Dataset, split: str) -> dict[int, list[int]]:
    """The ids of each row of a split, by the row's number."""
    with dataset.stream(split, 64, drop_last=False) as stream:
        return {
            round(float(np.expm1(dense))): ids
            for batch in stream
            for dense, ids in zip(batch.dense[:, 0], batch.ids.tolist(), strict=True)
        }


def expected_rows(values: list[Any], min_count: int, max_rows: int) -> dict[Any, int]:
    """By the definition: a row each by falling count, then by value; text by its UTF-8 bytes."""
    counted = collections.Counter(value for value in values if value is not None)
    order = sorted(counted, key=lambda value: (-counted[value], value if isinstance(value, int) else value.encode()))
    frequent = [value for value in order if counted[value] >= min_count]
    return {value: row for row, value in enumerate(frequent[: max_rows - 2], start=2)}


@pytest.mark.parametrize("kind", ["text", "parquet", "dictionary"])
@pytest.mark.parametrize(("min_count", "max_table_rows"), [(1, 20_000), (3, 20_000), (1, 50), (2, 3)])
def test_rows_are_the_training_values_by_count(tmp_path: Path, kind: str, min_count: int, max_table_rows: int) -> None:
    """Every row of every split, against counting in plain Python: 0 missing, 1 rare in or absent from the training
    rows, else by falling count; the tables are as large as that, and what the cap takes away is known."""
    rows = make_rows(3000)
    config = dataclasses.replace(
        write(tmp_path / "log", kind, rows), numbering="vocabulary", min_count=min_count, max_table_rows=max_table_rows
    )
    dataset = open_dataset(config, str(tmp_path / "home"))
    ids = {split: delivered(dataset, split) for split in SPLITS}
    assert sum(map(len, ids.values())) == 3000
    for place, column in enumerate(TEXT.categories):
        training = [rows[column][row] for row in ids["train"]]
        places = expected_rows(training, min_count, max_table_rows)
        wanted = 2 + len(expected_rows(training, min_count, 10**9))
        assert dataset.schema.table_sizes[place] == 2 + len(places)
        assert dataset.capped_tables.get(f"t_{column}", (wanted, wanted)) == (wanted, min(wanted, max_table_rows))
        for found in ids.values():
            for row, own in found.items():
                value = rows[column][row]
                assert own[place] == (0 if value is None else places.get(value, 1)), (column, value)
        assert {own[place] for own in ids["test"].values()} >= {0, 1}


def test_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened again nothing is counted; with other settings, other rows or a folder without its last file it is, and the
    same log gives the same bytes."""
    rows = make_rows(1000)
    config = write(tmp_path / "log", "text", rows)
    expected = delivered(open_dataset(config, str(tmp_path / "home")), "test")
    files = {path: path.read_bytes() for path in (tmp_path / "home" / "vocabulary").glob("**/*") if path.is_file()}
    real, counted = vocabularies._count, []

    def count(*arguments: Any) -> Any:
        counted.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(vocabularies, "_count", count)
    assert delivered(open_dataset(config, str(tmp_path / "home")), "test") == expected
    assert not counted
    (tmp_path / "home" / "vocabulary" / "sizes.json").unlink()  # as a kill in the middle of counting leaves it
    assert delivered(open_dataset(config, str(tmp_path / "home")), "test") == expected
    assert {path: path.read_bytes() for path in files} == files and len(counted) == 1
    open_dataset(dataclasses.replace(config, min_count=2), str(tmp_path / "home"))
    write(tmp_path / "log", "text", make_rows(1100))
    open_dataset(config, str(tmp_path / "home"))
    assert len(counted) == 3


def test_what_auto_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text and capped whole numbers by a vocabulary, other whole numbers as they are; a log with too many rows, or with
    nothing to merge, by hash."""
    rows = make_rows(2000)
    config = write(tmp_path / "log", "parquet", rows)
    some = open_dataset(config, str(tmp_path / "home"))
    assert set(some.numbering["vocabulary_files"]) == {"word", "short"} and some.schema.table_sizes[2] == 40
    capped = open_dataset(dataclasses.replace(config, max_table_rows=39), str(tmp_path / "home"))
    assert set(capped.numbering["vocabulary_files"]) == {"word", "short", "item"}
    pq.write_table(pa.table({name: rows[name] for name in ("label", "row", "item")}), tmp_path / "whole.parquet")
    whole = DataConfig(path=str(tmp_path / "whole.parquet"))
    assert open_dataset(whole, str(tmp_path / "home")).numbering["kind"] == "hash"
    with pytest.raises(
        ValueError, match=r"data\.min_count is 2, but .*whole\.parquet.* is not numbered by a vocabulary"
    ):
        open_dataset(dataclasses.replace(whole, min_count=2), str(tmp_path / "home"))
    monkeypatch.setattr(vocabularies, "MAX_COUNTED_ROWS", 1999)
    assert open_dataset(config, str(tmp_path / "home")).numbering["kind"] == "hash"
    asked = dataclasses.replace(config, numbering="vocabulary")
    assert len(open_dataset(asked, str(tmp_path / "home")).numbering["vocabulary_files"]) == 3


def test_large_whole_numbers(tmp_path: Path) -> None:
    """Ids of up to 64 bits, signed and unsigned, that modulo would merge have a row each."""
    draws = np.random.default_rng(1)
    signed = draws.integers(-(2**63), 2**63, 300)[draws.integers(300, size=4000)]
    unsigned = signed.view(np.uint64)
    label = np.arange(4000) % 2
    pq.write_table(pa.table({"label": label, "a": signed, "b": unsigned}), tmp_path / "log.parquet")
    dataset = open_dataset(DataConfig(path=str(tmp_path / "log.parquet")), str(tmp_path / "home"))
    with dataset.stream("train", 50, drop_last=False) as stream:
        ids = np.concatenate([batch.ids.numpy() for batch in stream])
    assert dataset.schema.table_sizes == (2 + len(np.unique(signed)),) * 2
    assert set(ids[:, 0]) == set(ids[:, 1]) == set(range(2, 2 + len(np.unique(signed))))


def test_a_prepared_log_is_numbered_already(tmp_path: Path) -> None:
    """Its numbering cannot be asked for again, and stays what it was."""
    raw = write(tmp_path / "log", "text", make_rows(500))
    made = str(tmp_path / "made")
    prepare(PrepareConfig(f"{raw.path}/log.tsv", f"{raw.path}/schema.json", made, "vocabulary", processes=1))
    dataset = open_dataset(DataConfig(path=made), str(tmp_path / "home"))
    assert dataset.numbering["vocabulary_files"]["word"] == f"{made}/vocabulary/word.parquet"
    for changes in ({"numbering": "hash"}, {"numbering": "vocabulary"}, {"min_count": 2}):
        with pytest.raises(ValueError, match=r"is prepared, its categories numbered already; leave both out"):
            open_dataset(DataConfig(path=made, **changes), str(tmp_path / "home"))  # type: ignore[arg-type]
