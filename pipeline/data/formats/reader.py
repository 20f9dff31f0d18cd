"""What every data format is to the rest: how its files are recognized and opened, and the units of rows they hold.

A unit is what is read at once: a Parquet row group or a block of lines. Units of one sequence must be read in their
order to be read cheaply: a line of a compressed file cannot be reached but through the lines before it.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.data.formats.features import Columns, Lookup, Rows
from pipeline.data.formats.prepared import Prepared
from pipeline.data.schema import Schema
from pipeline.run.files import atomic_write


class Unit(NamedTuple):
    """Rows that are read together."""

    path: str
    """Their file."""
    number: int
    """Number of the unit in the file, from 0."""
    first_row: int
    """Number of the first row in the whole click log (its files in order, one after the other)."""
    rows: int
    """1 or more."""
    sequence: int
    """Units with the same number are cheap to read in ascending order only; each Parquet row group has its own."""


@dataclasses.dataclass(frozen=True)
class BadLine:
    """A line of a raw text file that is not a row."""

    file: str
    """Path of the file."""
    line: int
    """Its number in the file, from 1; a header counts."""
    reason: str
    """What is wrong with it, with the column where there is one."""
    text: str
    """Its beginning; bytes that are not UTF-8 as \\xNN."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class Reader(Protocol):
    """Some files of one format, opened; every method may be called from any thread."""

    @property
    def schema(self) -> Schema:
        """The columns, with the table sizes of the model."""

    @property
    def units(self) -> list[Unit]:
        """All units, in the order of the files."""

    @property
    def prepared(self) -> Prepared | None:
        """How the files were prepared; None if their columns hold raw values."""

    @property
    def bad_lines(self) -> list[BadLine]:
        """The lines that were set aside, in the order of the files."""

    def number(self, schema: Schema, lookups: Mapping[str, Lookup]) -> None:
        """Number the categories by `lookups` from now on, into the tables of `schema`. For raw values only."""

    def read(self, unit: int, order: npt.NDArray[np.int64] | None) -> Rows | Columns:
        """The rows of a unit with the given numbers, in that order; None: all."""

    def columns(self, unit: int, names: list[str]) -> pa.Table:
        """Some columns of a unit as they are stored."""

    def times(self, unit: int) -> pa.Array:
        """When the rows of a unit were logged, by the schema's timestamp: of one of the types of `times.py`, without
        nulls. A row without a time is a ValueError with its file, line or row, and column."""

    def has_column(self, name: str) -> bool:
        """Whether the files hold a column, be it one of the schema's or not."""


@dataclasses.dataclass(frozen=True)
class Format:
    """A data format. A new one is a file with such a value, listed in `all_formats.py`."""

    name: str
    """What messages call it."""
    recognizes: Callable[[str], bool]
    """(path) → whether a file with this name is of the format."""
    own_schema: Callable[[str], Schema | None]
    """(path) → the schema that the file carries; None if it carries none."""
    infer_schema: Callable[[list[str], str, int], Schema]
    """(files, data.path, max_table_rows) → a schema from the columns; a ValueError says what to give instead."""
    open: Callable[[list[str], Schema, Path, int], Reader]
    """(files, schema, folder, max_bad_rows) → the files, opened. `folder` keeps what is worth remembering about them;
    up to `max_bad_rows` bad lines are set aside, and one more is a ValueError."""


def check_bad_lines(bad_lines: list[BadLine], max_bad_rows: int) -> None:
    """A ValueError that shows the first bad lines if there are more than `max_bad_rows`."""
    if len(bad_lines) > max_bad_rows:
        shown = "".join(f"\n  {bad_line}: {bad_line.text[:80]!r}" for bad_line in bad_lines[:5])
        raise ValueError(
            f"{bad_lines[0].file}: at least {len(bad_lines)} lines are not rows, more than data.max_bad_rows = "
            f"{max_bad_rows}; repair or remove the lines, or raise data.max_bad_rows:{shown}"
        )


def write_quarantine(path: Path, bad_lines: Iterable[BadLine]) -> None:
    """Writes the lines that are not rows, one JSON object per line."""
    with atomic_write(path, text=True) as handle:
        handle.writelines(json.dumps(dataclasses.asdict(bad_line)) + "\n" for bad_line in bad_lines)
