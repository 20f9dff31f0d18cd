"""pipeline/data/splits.py: which rows are of a split, whatever the units. (The rules by name: test_dataset.py.)"""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.formats.features import mixed_row_numbers
from pipeline.data.formats.reader import Unit
from pipeline.data.splits import SPLITS, Split


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
