"""pipeline/data/formats/prepared.py and its reader:
prepared columns arrive as they are; whatever does not fit is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data import DataConfig, open_dataset
from pipeline.data.formats.parquet import PARQUET, ParquetReader
from pipeline.data.formats.prepared import METADATA_KEY, WRITER_OPTIONS, arrow_schema, read_prepared
from pipeline.data.schema import Schema
from pipeline.data.splits import Split
from pipeline.data.stream.batch_stream import Stream

SCHEMA = Schema("log", "y", ("n", "m"), ("a", "b"), (2_000_000_000, 7))
BARE = dataclasses.replace(SCHEMA, integers=())
ROWS = 1000


def columns(schema: Schema = SCHEMA, **changes: Any) -> dict[str, Any]:
    """Numbered rows, prepared."""
    row = np.arange(ROWS)
    made = {"y": row % 2, "n": row / 4, "m": np.full(ROWS, -1.0), "a": row, "b": row % 7, **changes}
    return {name: made[name] for name in schema.inputs}


def write(path: Path, schema: Schema = SCHEMA, numbering: str = "hash", statistics: bool = True, **changes: Any) -> str:
    """A prepared file."""
    made = pa.table(columns(schema, **changes), schema=arrow_schema(schema, numbering=numbering))
    pq.write_table(made, path, row_group_size=150, write_statistics=statistics, **WRITER_OPTIONS)
    return str(path)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("schema", [SCHEMA, BARE])
def test_values(tmp_path: Path, seed: int | None, schema: Schema) -> None:
    """Every column of every row arrives, in the order of the file or shuffled."""
    log = ParquetReader([write(tmp_path / "a.parquet", schema)], schema)
    seen: list[int] = []
    for batch in Stream(Split("train", log), 64, shuffle_seed=seed):
        rows = batch.ids[:, 0].numpy()
        seen += rows.tolist()
        assert (batch.ids[:, 1].numpy() == rows % 7).all()
        assert (batch.label.numpy() == rows % 2).all()
        expected = np.stack([rows / 4, np.full(len(rows), -1.0)], 1) if schema.integers else np.ones((len(rows), 1))
        assert (batch.dense.numpy() == expected).all()
    assert sorted(seen) == list(range(ROWS))
    assert (seen == list(range(ROWS))) == (seed is None)


@pytest.mark.parametrize("seed", [None, 3])
def test_smaller_tables(tmp_path: Path, seed: int | None) -> None:
    """Rows of a capped table are numbered into it; 0 (missing) stays 0."""
    path = write(tmp_path / "a.parquet")
    log = ParquetReader([path], SCHEMA.with_max_rows(11))
    dense, ids = [], []
    for batch in Stream(Split("train", log), 64, shuffle_seed=seed):
        dense += batch.dense[:, 0].tolist()
        ids += batch.ids[:, 0].tolist()
    rows = np.array(dense) * 4
    assert ids == [0 if row == 0 else 1 + (row - 1) % 10 for row in rows.astype(int).tolist()]


def test_schema_comes_along(tmp_path: Path) -> None:
    """A prepared folder opens without a schema; one with other columns is refused; raw files bring none."""
    path = write(tmp_path / "a.parquet")
    assert PARQUET.own_schema(path) == SCHEMA
    dataset = open_dataset(DataConfig(path=path, max_table_rows=2**31 - 1), str(tmp_path / "out"))
    assert dataset.schema == SCHEMA
    with pytest.raises(ValueError, match=r"data.schema is 'avazu', but .*a.parquet was prepared as 'log'"):
        open_dataset(DataConfig(path=path, schema="avazu"), str(tmp_path / "out"))
    pq.write_table(pa.table(columns()), tmp_path / "raw.parquet")
    assert PARQUET.own_schema(str(tmp_path / "raw.parquet")) is None


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"b": np.arange(ROWS) % 8}, "column 'b': holds rows 0 to 7 of a table of 7; prepare"),
        ({"b": np.arange(ROWS) % 7 - 1}, "column 'b': holds rows -1 to 5 of a table of 7"),
        ({"y": np.where(np.arange(ROWS) == 405, 2, 0)}, "row 405 .*column 'y': found label 2"),
        ({"y": np.where(np.arange(ROWS) == 405, -1, 0)}, "row 405 .*column 'y': found label -1"),
    ],
)
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("seed", [None, 3])
def test_out_of_range(
    tmp_path: Path, changes: dict[str, Any], message: str, seed: int | None, statistics: bool
) -> None:
    """Rows beyond a table, which an embedding could not look up, and bad labels are named; also where the writer
    noted no ranges."""
    log = ParquetReader([write(tmp_path / "a.parquet", statistics=statistics, **changes)], SCHEMA)
    with pytest.raises(ValueError, match=rf"a.parquet: .*{message}"):
        list(Stream(Split("train", log), 50, shuffle_seed=seed))


def test_columns_in_another_order(tmp_path: Path) -> None:
    """A file whose columns lie in another order is read, and checked, by their names."""
    first = write(tmp_path / "a.parquet")
    table = pq.read_table(first)
    pq.write_table(table.select(table.column_names[::-1]), tmp_path / "b.parquet", row_group_size=150)
    for seed in (None, 3):
        read = []
        for path in (first, str(tmp_path / "b.parquet")):
            log = ParquetReader([first, path], SCHEMA)
            stream = Stream(Split("train", log, range=(ROWS, 2 * ROWS)), 50, shuffle_seed=seed)
            read.append([(batch.dense.tolist(), batch.ids.tolist(), batch.label.tolist()) for batch in stream])
        assert read[0] == read[1]


def test_a_bad_label_among_rows_that_are_not_read(tmp_path: Path) -> None:
    """A row group's range covers all its rows: those of another split do not make these ones bad."""
    log = ParquetReader([write(tmp_path / "a.parquet", y=np.where(np.arange(ROWS) == 149, 2, 0))], SCHEMA)
    split = Split("train", log, range=(0, 149))
    assert sum(batch.num_rows for batch in Stream(split, 50)) == 149
    with pytest.raises(ValueError, match=r"row 149 .*found label 2"):
        list(Stream(Split("test", log, range=(140, 150)), 50))


@pytest.mark.parametrize("column", SCHEMA.inputs)
@pytest.mark.parametrize("seed", [None, 3])
def test_a_flipped_bit(tmp_path: Path, column: str, seed: int | None) -> None:
    """One bit changed in a page of any column is an error that names the row group, not another number."""
    path = tmp_path / "a.parquet"
    write(path)
    place = pq.ParquetFile(path).metadata.row_group(2).column(SCHEMA.inputs.index(column))
    contents = bytearray(path.read_bytes())
    first = place.dictionary_page_offset or place.data_page_offset
    contents[first + place.total_compressed_size - 1] ^= 4
    path.write_bytes(contents)
    log = ParquetReader([str(path)], SCHEMA)
    with pytest.raises(ValueError, match=r"a.parquet: row group 2 cannot be read: .*; write it again"):
        list(Stream(Split("train", log), 50, shuffle_seed=seed))


def test_other_types(tmp_path: Path) -> None:
    """A file that says it is prepared, but whose columns are not, is refused."""
    metadata = arrow_schema(SCHEMA).metadata
    table = pa.table(columns()).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a.parquet: is prepared, but its column .*y: int64.* is not .*int8"):
        ParquetReader([str(tmp_path / "a.parquet")], SCHEMA)


def test_prepared_apart(tmp_path: Path) -> None:
    """Files numbered in different ways, or raw beside prepared, are no one log."""
    first = write(tmp_path / "a.parquet")
    other = write(tmp_path / "b.parquet", numbering="vocabulary")
    with pytest.raises(ValueError, match=r"b.parquet: cannot be one .* with .*a.parquet: their tables or numbering"):
        ParquetReader([first, other], SCHEMA)
    raw = {**columns(), "a": [str(row) for row in range(ROWS)], "b": ["x"] * ROWS}
    pq.write_table(pa.table(raw), tmp_path / "c.parquet")
    with pytest.raises(ValueError, match=r"c.parquet: cannot be one click log with .*: one is raw, one prepared"):
        ParquetReader([first, str(tmp_path / "c.parquet")], SCHEMA)


def test_other_version(tmp_path: Path) -> None:
    """A file of another layout is told apart."""
    table = pa.table(columns(), schema=arrow_schema(SCHEMA)).replace_schema_metadata({METADATA_KEY: b'{"version": 99}'})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a.parquet: was prepared by another version"):
        read_prepared(pq.ParquetFile(tmp_path / "a.parquet").metadata, str(tmp_path / "a.parquet"))
