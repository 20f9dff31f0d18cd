"""Which rows of a click log train, validate and test: by row, file name, day, or in order (time_split.py: by time)."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.data.formats.features import Columns, Rows, mixed_row_numbers
from pipeline.data.formats.reader import Reader, Unit
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import day_of_name, split_of_name

SPLITS = ("train", "valid", "test")
_TENTHS = {"train": (0, 8), "valid": (8, 9), "test": (9, 10)}
_CHUNK_ROWS = 1 << 20


@dataclasses.dataclass(frozen=True)
class Split:
    """The rows of one split, unit by unit: those whose number is in a range and, hashed, in some tenths, or all that a
    list says."""

    name: str
    """train, valid or test."""
    reader: Reader
    """Where the rows are read from."""
    tenths: tuple[int, int] = (0, 10)
    """Rows whose number's hash modulo 10 is in [first, last) belong to the split."""
    range: tuple[int, int] = (0, 2**63 - 1)
    """Rows numbered first, …, last - 1 of the click log."""
    part_of_row: npt.NDArray[np.uint8] | None = dataclasses.field(default=None, compare=False)
    """Of each row of the click log the number in SPLITS of its split; None: the row's number decides."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the categorical columns."""
        return self.reader.schema.categories

    @property
    def dense_width(self) -> int:
        """max(I, 1)."""
        return self.reader.schema.dense_width

    @property
    def id_places(self) -> tuple[int, ...]:
        """Ids of each categorical column that a decoded row has room for."""
        return self.reader.schema.id_places

    @property
    def row_bytes(self) -> int:
        """Bytes of a decoded row."""
        return Rows.bytes_per_row(self.reader.schema)

    @functools.cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Rows of the split in each unit."""
        return np.array([self._count(unit) for unit in self.reader.units], dtype=np.int64)

    @functools.cached_property
    def sequences(self) -> npt.NDArray[np.int64]:
        """The sequence of each unit."""
        return np.array([unit.sequence for unit in self.reader.units], dtype=np.int64)

    def read(self, unit: int, order: npt.NDArray[np.int64] | None) -> Rows | Columns:
        """The rows of the unit with the given numbers, in that order; None: all."""
        return self.reader.read(unit, order)

    def select(self, unit: int) -> npt.NDArray[np.int64] | None:
        """Which of the unit's rows belong to the split; None: all."""
        low, high = self._overlap(self.reader.units[unit])
        first = self.reader.units[unit].first_row
        if not self._is_range:
            return low - first + np.flatnonzero(self._is_inside(low, high - low))
        return None if high - low == self.reader.units[unit].rows else np.arange(low - first, high - first)

    def _count(self, unit: Unit) -> int:
        low, high = self._overlap(unit)
        if self._is_range:
            return high - low
        starts = range(low, high, _CHUNK_ROWS)
        return sum(int(self._is_inside(start, min(_CHUNK_ROWS, high - start)).sum()) for start in starts)

    def _overlap(self, unit: Unit) -> tuple[int, int]:
        """Row numbers of the unit that are in the range."""
        low = max(self.range[0], unit.first_row)
        return low, max(low, min(self.range[1], unit.first_row + unit.rows))

    @property
    def _is_range(self) -> bool:
        return self.part_of_row is None and self.tenths == (0, 10)

    def _is_inside(self, first_row: int, rows: int) -> npt.NDArray[np.bool_]:
        if self.part_of_row is not None:
            return self.part_of_row[first_row : first_row + rows] == SPLITS.index(self.name)
        tenth = mixed_row_numbers(first_row, rows) % np.uint64(10)
        return (tenth >= self.tenths[0]) & (tenth < self.tenths[1])


def split_rule(asked: str, files: list[str], schema: Schema) -> str:
    """The rule that `DataConfig.split` asks for; auto: by file names where they speak of splits, else by time where the
    schema names a timestamp, else by row. Raises ValueError for `time` without a timestamp."""
    if asked == "auto":
        if any(split_of_name(file) for file in files):
            return "file_names"
        return "time" if schema.timestamp else "random_80_10_10"
    if asked == "time" and not schema.timestamp:
        raise ValueError(
            f"data.split is time, but schema {schema.name!r} names no timestamp; give a data.schema that does "
            '(avazu_by_time, or a JSON file with "timestamp", the column that says when a row was logged), and prepare '
            "a prepared log again with it"
        )
    return asked


def make_splits(rule: str, files: list[str], open_files: Callable[[list[str]], Reader]) -> dict[str, Split]:
    """train, valid and test by a rule of `split_rule`, other than by time; `open_files` opens some files."""
    match rule:
        case "mlperf_days":
            return _split_by_day(files, open_files)
        case "file_names":
            return _split_by_file_names(files, open_files)
        case "in_order":
            return _split_in_order(open_files(files))
        case _:
            reader = open_files(files)
            return {name: Split(name, reader, tenths) for name, tenths in _TENTHS.items()}


def ten_parts(rows: int) -> tuple[int, int]:
    """Rows before validation and before test, where 80 % train and 10 % validate.

    >>> ten_parts(99)
    (79, 89)
    """
    return rows * 8 // 10, rows * 9 // 10


def _split_by_file_names(files: list[str], open_files: Callable[[list[str]], Reader]) -> dict[str, Split]:
    by_name: dict[str | None, list[str]] = {}
    for file in files:
        by_name.setdefault(split_of_name(file), []).append(file)
    if set(by_name) != set(SPLITS):
        found = {name or "no split": [Path(file).name for file in some][:3] for name, some in by_name.items()}
        raise ValueError(
            f"file names speak of some splits only: {found}; name files of all of train, valid and test, or of none, "
            "or choose another data.split"
        )
    readers = {name: open_files(by_name[name]) for name in SPLITS}
    open_files([by_name[name][0] for name in SPLITS])  # the three must have the same columns
    return {name: Split(name, reader) for name, reader in readers.items()}


def _split_in_order(reader: Reader) -> dict[str, Split]:
    rows = reader.units[-1].first_row + reader.units[-1].rows
    first, second = ten_parts(rows)
    ranges = {"train": (0, first), "valid": (first, second), "test": (second, rows)}
    return {name: Split(name, reader, range=own) for name, own in ranges.items()}


def _split_by_day(files: list[str], open_files: Callable[[list[str]], Reader]) -> dict[str, Split]:
    """All days but the last; the first half of the last (the larger one, as in MLPerf); its second half."""
    by_day: dict[int, list[str]] = {}
    for file in files:
        day = day_of_name(file)
        if day is None:
            raise ValueError(f"{file}: its name says no day; data.split mlperf_days is for files named day_0, day_1, …")
        by_day.setdefault(day, []).append(file)
    last = max(by_day)
    if missing := sorted(set(range(min(by_day), last)) - set(by_day)):
        raise ValueError(
            f"data.split is mlperf_days, but the days {missing} between the first and the last are missing"
        )
    if len(by_day) < 2:
        raise ValueError(f"data.split is mlperf_days, but there is only day {last}; give two days or more")
    reader = open_files([file for day in sorted(by_day) for file in by_day[day]])
    start = next(unit.first_row for unit in reader.units if day_of_name(unit.path) == last)
    end = reader.units[-1].first_row + reader.units[-1].rows
    middle = start + (end - start + 1) // 2
    ranges = {"train": (0, start), "valid": (start, middle), "test": (middle, end)}
    return {name: Split(name, reader, range=rows) for name, rows in ranges.items()}
