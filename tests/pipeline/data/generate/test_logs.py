"""pipeline/data/generate/logs.py: the same bytes for the same settings, whatever happened on the way."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.config import DataConfig
from pipeline.data.formats.text import TextReader
from pipeline.data.generate.logs import PROBABILITY_COLUMN, GenerateConfig, generate
from pipeline.data.schema import BUILT_IN

ROOT = Path(__file__).parents[4]


def digests(files: list[str]) -> dict[str, str]:
    """Name and SHA-256 of each file."""
    return {Path(file).name: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files}


def make(folder: Path, **settings: Any) -> list[str]:
    """A small log."""
    return generate(GenerateConfig(str(folder), **{"rows": 900, "days": 3, **settings}))


@pytest.mark.parametrize("form", [{}, {"format": "tsv"}, {"format": "tsv", "compression": "gz"}])
def test_same_bytes(tmp_path: Path, form: dict[str, str]) -> None:
    """Two runs write the same bytes; another seed writes others."""
    first = digests(make(tmp_path / "a", **form))
    assert first == digests(make(tmp_path / "b", **form))
    assert not set(first.values()) & set(digests(make(tmp_path / "c", seed=1, **form)).values())
    assert len(first) == 3


@pytest.mark.parametrize("compression", ["none", "gz", "zst"])
def test_tsv_and_parquet_hold_the_same_rows(tmp_path: Path, compression: str) -> None:
    """Criteo TSV and Parquet of the same settings say the same; only Parquet has the planted probability."""
    schema = BUILT_IN["criteo"]
    parquet = pa.concat_tables(
        [pq.read_table(file) for file in make(tmp_path / "parquet")], promote_options="permissive"
    )
    files = make(tmp_path / "tsv", format="tsv", compression=compression)
    log = TextReader(files, schema, tmp_path / "counts")
    text = pa.concat_tables(log.columns(unit, list(schema.inputs)) for unit in range(len(log.units)))
    assert parquet.num_rows == text.num_rows == 900
    assert parquet.column_names == [*text.column_names, PROBABILITY_COLUMN]
    for name in text.column_names:
        assert parquet[name].to_pylist() == text[name].to_pylist()
    assert text["cat_2"].drop_null()[0].as_py() == f"{int(text['cat_2'].drop_null()[0].as_py(), 16):08x}"
    assert text["int_0"].null_count + text["int_1"].null_count + text["cat_0"].null_count + text["cat_1"].null_count


def test_values_of_a_column_are_distinct_texts(tmp_path: Path) -> None:
    """No two planted values of a column share a text."""
    from pipeline.data.generate.logs import _vocabulary

    for column in (0, 2, 8):
        texts = _vocabulary(column).to_pylist()
        assert len(set(texts)) == len(texts)
        assert all(len(text) == 8 for text in texts[:100])


def test_days(tmp_path: Path) -> None:
    """Every day but the last has equally many rows; a day's rows do not depend on how many days follow."""
    files = make(tmp_path / "a", rows=1000, days=3)
    assert [pq.ParquetFile(file).metadata.num_rows for file in files] == [334, 334, 332]
    shorter = make(tmp_path / "b", rows=668, days=2)
    assert digests(shorter) == digests(files[:2])


def test_blocks_bound_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day is written block by block, a row group each."""
    monkeypatch.setattr("pipeline.data.generate.logs.BLOCK_ROWS", 100)
    (file,) = make(tmp_path / "a", rows=250, days=1)
    metadata = pq.ParquetFile(file).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [100, 100, 50]


def test_used_again_and_made_anew(tmp_path: Path) -> None:
    """The same settings use the files again; others replace them all, and nothing of the old log stays."""
    files = make(tmp_path)
    written = [os.stat(file).st_mtime_ns for file in files]
    assert make(tmp_path) == files
    assert [os.stat(file).st_mtime_ns for file in files] == written
    other = make(tmp_path, days=2, seed=1)
    assert sorted(path.name for path in tmp_path.glob("day_*")) == ["day_0.parquet", "day_1.parquet"]
    assert digests(other) == digests(make(tmp_path.parent / f"{tmp_path.name}_fresh", days=2, seed=1))


def test_foreign_folder(tmp_path: Path) -> None:
    """A folder with somebody else's files is left alone."""
    (tmp_path / "day_0.parquet").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"day_0.parquet.* and no manifest.json"):
        make(tmp_path)
    assert (tmp_path / "day_0.parquet").read_bytes() == b"mine"


@pytest.mark.slow
def test_killed_and_run_again(tmp_path: Path) -> None:
    """Killed in the middle and run again, the program ends with the bytes of an uninterrupted run."""
    options = ["--rows", "40000", "--days", "20", "--format", "tsv"]
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "pipeline.data.generate", "--folder", str(folder), *options]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while len(list(folder.glob("day_*.tsv"))) < 3 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 <= len(list(folder.glob("day_*.tsv"))) < 20
    config = GenerateConfig(str(folder), rows=40_000, days=20, format="tsv")
    reference = GenerateConfig(str(tmp_path / "reference"), rows=40_000, days=20, format="tsv")
    assert digests(generate(config)) == digests(generate(reference))


def test_compression_is_for_text(tmp_path: Path) -> None:
    """A setting that would be ignored is refused."""
    with pytest.raises(ValueError, match="compression is 'gz', which is for tsv"):
        GenerateConfig(str(tmp_path), compression="gz")
    with pytest.raises(ValueError, match="rows is 5"):
        GenerateConfig(str(tmp_path), rows=5)
    assert DataConfig().seed == GenerateConfig(str(tmp_path)).seed
