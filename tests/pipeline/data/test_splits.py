"""pipeline/data/splits.py: which rows are of a split, whatever the units. (The rules by name: test_dataset.py.)"""

import dataclasses
import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import open_dataset
from pipeline.data.formats.features import mixed_row_numbers
from pipeline.data.formats.reader import Unit
from pipeline.data.splits import SPLITS, Split
from tests.pipeline.data.timed_logs import ROWS, SCHEMA, draw_times, rows_of, split_by_hand, write


class Numbers:
    """A reader of row numbers."""

    def __init__(self, sizes: list[int]) -> None:
        firsts = np.cumsum([0, *sizes])
        self.units = [Unit("file", i, int(firsts[i]), size, sequence=i // 2) for i, size in enumerate(sizes)]

    def read(self, unit: int, order: Any) -> Any:
        rows = self.units[unit].first_row + np.arange(self.units[unit].rows)
        return rows if order is None else rows[order]


SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=6)
TENTHS = st.tuples(st.integers(0, 10), st.integers(0, 10)).map(lambda pair: (min(pair), max(pair)))
RANGES = st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda pair: (min(pair), max(pair)))


@settings(max_examples=200, deadline=None)
@given(SIZES, TENTHS, st.none() | RANGES)
def test_rows_of_a_split(sizes: list[int], tenths: tuple[int, int], rows: tuple[int, int] | None) -> None:
    """Counts and selected rows are those found by looking at each row, and do not depend on the units."""
    reader: Any = Numbers(sizes)
    split = Split("train", reader, tenths, rows) if rows else Split("train", reader, tenths)
    low, high = rows or (0, 10**9)
    tenth = mixed_row_numbers(0, sum(sizes)) % np.uint64(10)
    expected = [n for n in range(sum(sizes)) if low <= n < high and tenths[0] <= tenth[n] < tenths[1]]
    found = [int(row) for unit in range(len(sizes)) for row in split.read(unit, split.select(unit))]  # type: ignore[arg-type,union-attr]
    assert found == expected
    assert split.counts.sum() == len(expected)
    assert split.sequences.tolist() == [index // 2 for index in range(len(sizes))]


@given(SIZES, st.data())
def test_rows_of_a_split_by_a_list(sizes: list[int], data: st.DataObject) -> None:
    """Where each row's split is listed, the three have their rows, whatever the units."""
    reader: Any = Numbers(sizes)
    rows = sum(sizes)
    parts = np.array(data.draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)), np.uint8)
    for number, name in enumerate(SPLITS):
        split = Split(name, reader, part_of_row=parts)
        found = [int(row) for unit in range(len(sizes)) for row in split.read(unit, split.select(unit))]  # type: ignore[arg-type,union-attr]
        assert found == np.flatnonzero(parts == number).tolist()
        assert split.counts.tolist() == [int((one == number).sum()) for one in np.split(parts, np.cumsum(sizes)[:-1])]


@pytest.mark.parametrize("suffix", ["csv.gz", "parquet"])
def test_in_order(tmp_path: Path, suffix: str) -> None:
    """in_order: 80, 10 and 10 % of the rows in the order of files and rows, whatever their times."""
    config = write(tmp_path / "log", suffix, draw_times("seconds"))
    found = rows_of(open_dataset(dataclasses.replace(config, split="in_order"), str(tmp_path / "home")))
    assert found == {"train": list(range(720)), "valid": list(range(720, 810)), "test": list(range(810, 900))}


def test_other_splits_need_no_times(tmp_path: Path) -> None:
    """Asked for by row, a log whose timestamp is missing here and there is split as if the schema named none."""
    times: list[Any] = draw_times("seconds")
    times[3] = ""
    config = dataclasses.replace(write(tmp_path / "log", "csv", times), split="random_80_10_10", max_bad_rows=1)
    dataset = open_dataset(config, str(tmp_path / "home"))
    assert sorted(itertools.chain(*rows_of(dataset).values())) == list(range(ROWS))
    assert dataset.schema.timestamp == "when" and not dataset.split_in_words
    plain = write(tmp_path / "plain", "csv", times, dataclasses.replace(SCHEMA, timestamp=""))
    by_row = open_dataset(dataclasses.replace(plain, split="auto"), str(tmp_path / "home"))
    assert rows_of(dataset) == rows_of(by_row)


def test_what_auto_chooses(tmp_path: Path) -> None:
    """By time where the schema names a timestamp, unless file names speak of splits; `time` goes before file names."""
    times = draw_times("seconds")
    config = dataclasses.replace(write(tmp_path / "log", "csv", times), split="auto")
    assert rows_of(open_dataset(config, str(tmp_path / "home"))) == split_by_hand(times)
    for name, target in (("a", "train"), ("b", "valid")):
        (tmp_path / "log" / f"{name}.csv").rename(tmp_path / "log" / f"{target}.csv")
    shutil.copy(tmp_path / "log" / "valid.csv", tmp_path / "log" / "test.csv")
    named = open_dataset(config, str(tmp_path / "home"))
    assert [named.rows(split) for split in SPLITS] == [ROWS // 2] * 3
    (tmp_path / "log" / "test.csv").unlink()
    by_time = open_dataset(dataclasses.replace(config, split="time"), str(tmp_path / "home"))
    assert rows_of(by_time) == split_by_hand(times)
    config = write(tmp_path / "log", "csv", times, dataclasses.replace(SCHEMA, timestamp=""))
    with pytest.raises(
        ValueError, match=r"data.split is time, but schema 'log' names no timestamp; give a data.schema"
    ):
        open_dataset(config, str(tmp_path / "home"))
