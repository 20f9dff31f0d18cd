"""What every click log is to a stream: units of rows that are read whole, one at a time, by any thread.

A unit is a Parquet row group or a block of lines. Units of one run are read in their order: lines of a compressed file
cannot be reached but through those before them.
"""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.data.formats.features import Columns, Rows
from pipeline.data.schema import Schema


class Unit(NamedTuple):
    """Rows that are read together."""

    path: str
    """Their file."""
    number: int
    """Number of the unit in the file."""
    first_row: int
    """Number of the first row in the whole log (the files one behind the other)."""
    rows: int
    """1 or more."""
    run: int
    """Units of one run are cheap to read one after the other only; a Parquet row group is a run of its own."""


class Log(Protocol):
    """Files of one kind as units."""

    @property
    def schema(self) -> Schema:
        """The columns, with the tables' sizes as the model has them."""

    @property
    def units(self) -> list[Unit]:
        """All of them, in the order of the files."""

    def read(self, unit: int, order: npt.NDArray[np.int64] | None) -> Rows | Columns:
        """The unit's rows of the given numbers, in that order; None: all."""

    def columns(self, unit: int, names: list[str]) -> pa.Table:
        """Some raw columns of the unit."""

    def has_column(self, name: str) -> bool:
        """Whether the files hold a column beside the schema's."""
