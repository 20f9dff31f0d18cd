"""pipeline/data/formats/parquet_schema.py: a schema from Parquet alone."""

from pathlib import Path
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.formats.parquet import ParquetReader
from pipeline.data.formats.parquet_schema import infer_schema
from pipeline.data.schema import MAX_TABLE_ROWS


def write(path: Path, **columns: Any) -> str:
    """A Parquet file in several row groups."""
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return str(path)


def test_roles_and_sizes(tmp_path: Path) -> None:
    """Floating point and int_* are numeric; whole numbers get a table of their range over all files; text the most."""
    first = {
        "label": [0, 1, 1],
        "price": [1.5, -2, 3],
        "int_0": [1, 2, 3],
        "user": [1007, 1000, None],
        "word": ["a"] * 3,
    }
    second = {**first, "user": [1003, 1009, 1001]}
    files = [write(tmp_path / "a.parquet", **first), write(tmp_path / "b.parquet", **second)]
    schema = infer_schema(files, "logs/shop", 500)
    assert (schema.label, schema.integers, schema.floats) == ("label", ("int_0",), ("price",))
    assert schema.categories == ("user", "word")
    assert schema.table_sizes == (1009 - 1000 + 1 + 1, 500)
    assert schema.integer_ids == ("user",)
    log = ParquetReader(files, schema)
    ids = [id for unit in range(4) for id in log.read(unit).ids[0].tolist()]
    assert len(set(ids)) == 6 and 0 in ids  # 5 values and missing, none merged
    dense = numpy.concatenate([log.read(unit).dense for unit in range(2)], axis=1)
    assert dense[0].tolist() == pytest.approx(numpy.log1p([1, 2, 3]))
    assert dense[1].tolist() == pytest.approx(numpy.sign([1.5, -2, 3]) * numpy.log1p([1.5, 2, 3]))


def test_long_ranges_and_planted_probability(tmp_path: Path) -> None:
    """A range is not cut to data.max_table_rows in silence (the run does that, and says so), only to what a stream can
    number; the generator's probability is never an input."""
    columns = {"user": [0, 998], "item": [0, 10**12], "planted_probability": [0.5, 0.5]}
    schema = infer_schema([write(tmp_path / "a.parquet", label=[0, 1], **columns)], "shop", 500)
    assert schema.table_sizes == (1000, MAX_TABLE_ROWS)
    assert schema.inputs == ("label", "user", "item")


def test_timestamps(tmp_path: Path) -> None:
    """A column named and filled as a timestamp is that, the likeliest name first; other typed times are not read."""
    moments = pa.array([1_700_000_000, 1_700_000_005, 1_700_000_001], pa.timestamp("s"))
    common = {"label": [0, 1, 0], "item": ["a", "b", "c"], "released": moments}
    for columns, timestamp in (
        ({"ts": moments, "date": moments}, "ts"),
        ({"Timestamp": [1_700_000_000, 1_700_000_005, 1_700_000_001]}, "Timestamp"),
        ({"time": ["2024-05-01", "2024-05-03", "2024-05-02"]}, "time"),
        ({"timestamp": pa.array([1, None, 3], pa.timestamp("s"))}, ""),
        ({"date": pa.array([1, 1, 2], pa.timestamp("s"))}, ""),
    ):
        schema = infer_schema([write(tmp_path / "a.parquet", **common, **columns)], "shop", 500)
        assert schema.timestamp == timestamp and schema.inputs == ("label", "item")
    schema = infer_schema([write(tmp_path / "a.parquet", **common, time=[5, 9, 7], ts=["a", "b", "c"])], "shop", 500)
    assert schema.timestamp == "" and schema.categories == ("item", "time", "ts")


def test_no_label(tmp_path: Path) -> None:
    """Without a column `label` there is nothing to infer."""
    with pytest.raises(ValueError, match=r"a.parquet: has no column 'label', found \['clicked', 'user'\]"):
        infer_schema([write(tmp_path / "a.parquet", clicked=[0], user=[1])], "shop", 500)


def test_broken_file(tmp_path: Path) -> None:
    """A file that is not Parquet is named."""
    (tmp_path / "a.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(ValueError, match=r"a.parquet: not a whole Parquet file"):
        infer_schema([str(tmp_path / "a.parquet")], "shop", 500)
