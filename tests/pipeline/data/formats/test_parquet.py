"""pipeline/data/formats/parquet.py:
row groups decoded as the rules say; every unusable file is named with its reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.formats.features import decode
from pipeline.data.formats.parquet import ParquetReader
from pipeline.data.schema import Schema

SCHEMA = Schema("log", "y", ("n",), ("id", "word", "when"), (50, 60, 25), integer_ids=("id",), hours=("when",))


def columns(rows: int = 40) -> dict[str, Any]:
    """Columns of every role, with missing values."""
    return {
        "y": [row % 2 for row in range(rows)],
        "n": [None if row % 5 == 0 else row for row in range(rows)],
        "id": [None if row % 7 == 0 else 3 * row for row in range(rows)],
        "word": [None if row % 6 == 0 else f"w{row % 9}" for row in range(rows)],
        "when": [14102100 + row % 24 for row in range(rows)],
        "other": [1.5] * rows,
    }


def write(path: Path, table: pa.Table | None = None, **changes: Any) -> str:
    """A Parquet file of `columns` with some replaced."""
    table = pa.table({**columns(), **changes}) if table is None else table
    pq.write_table(table, path, row_group_size=15)
    return str(path)


def test_row_groups(tmp_path: Path) -> None:
    """Row groups of all files are numbered through, and decode to what the whole table decodes to."""
    files = [write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet")]
    log = ParquetReader(files, SCHEMA)
    assert [(group.first_row, group.rows) for group in log.units] == [
        *((0, 15), (15, 15), (30, 10)),
        *((40, 15), (55, 15), (70, 10)),
    ]
    whole = decode(pa.RecordBatch.from_pydict(columns()), SCHEMA)
    for unit, start in ((0, 0), (4, 15), (5, 30)):
        rows = log.read(unit)
        stop = start + len(rows.label)
        assert np.array_equal(rows.dense, whole.dense[:, start:stop])
        assert np.array_equal(rows.ids, whole.ids[:, start:stop])
        assert (rows.label == whole.label[start:stop]).all()


@pytest.mark.parametrize("column", ["y", "n", "id", "word", "when"])
def test_missing_column(tmp_path: Path, column: str) -> None:
    """A column that the schema needs and the file lacks is named, with the columns there are."""
    table = pa.table(columns()).drop_columns([column])
    with pytest.raises(ValueError, match=rf"a.parquet: holds column '{column}' 0 times.*'other'"):
        ParquetReader([write(tmp_path / "a.parquet", table)], SCHEMA)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"y": ["0"] * 40}, "column 'y' is of type string, expected a number"),
        ({"n": ["1"] * 40}, "column 'n' is of type string, expected a number"),
        ({"id": ["x"] * 40}, "column 'id' is of type string, expected a whole number.*integer_ids"),
        ({"id": [1.0] * 40}, "column 'id' is of type double, expected a whole number"),
        ({"word": [1] * 40}, "column 'word' is of type int64, expected text.*integer_ids"),
        ({"when": ["14102100"] * 40}, "column 'when' is of type string, expected a whole number"),
    ],
)
def test_other_type(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """A column of another type than its role asks for is named with both types and what to do."""
    with pytest.raises(ValueError, match=f"a.parquet: {message}"):
        ParquetReader([write(tmp_path / "a.parquet", **changes)], SCHEMA)


def test_different_columns(tmp_path: Path) -> None:
    """Two files with different columns are refused, naming both and the difference."""
    files = [write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet", more=[0] * 40)]
    with pytest.raises(ValueError, match=r"b.parquet: its columns differ from those of .*a.parquet in \['more'\]"):
        ParquetReader(files, SCHEMA)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_cut_in_the_middle(tmp_path: Path, keep: float) -> None:
    """A file cut anywhere is not a whole Parquet file."""
    path = Path(write(tmp_path / "a.parquet"))
    contents = path.read_bytes()
    path.write_bytes(contents[: int(keep * len(contents))])
    with pytest.raises(ValueError, match=r"a.parquet: not a whole Parquet file.*again"):
        ParquetReader([str(path)], SCHEMA)


def test_damaged_inside(tmp_path: Path) -> None:
    """Damage to the pages themselves is found when they are read, and named with the row group."""
    path = Path(write(tmp_path / "a.parquet"))
    contents = bytearray(path.read_bytes())
    log = ParquetReader([str(path)], SCHEMA)
    pages = pq.ParquetFile(path).metadata.row_group(0).total_byte_size // 2
    contents[4 : 4 + pages] = b"\xff" * pages
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=r"a.parquet: row group 0 cannot be read"):
        log.read(0)


def test_no_rows(tmp_path: Path) -> None:
    """A file without rows is refused."""
    path = write(tmp_path / "a.parquet", pa.table(columns()).slice(0, 0))
    with pytest.raises(ValueError, match=r"a.parquet: holds no rows"):
        ParquetReader([path], SCHEMA)


@pytest.mark.parametrize("bad", [2, -1, None])
def test_bad_label(tmp_path: Path, bad: int | None) -> None:
    """A label other than 0 and 1 is named by file and row of the file, in whatever row group it lies."""
    labels = columns()["y"]
    labels[33] = bad
    files = [write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet", y=labels)]
    log = ParquetReader(files, SCHEMA)
    with pytest.raises(ValueError, match=rf"b.parquet: row 33 .*column 'y': found label {bad}, expected 0 or 1"):
        log.read(5)
