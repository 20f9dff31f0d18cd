"""pipeline/data/convert.py: text becomes Parquet once, whole, and again only when the source has changed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.data.convert import convert
from pipeline.data.schema import Schema
from pipeline.data.text import read_text

SCHEMA = Schema("log", "y", ("n",), ("a",), (100,), columns=("y", "n", "a"))
HEADED = Schema("log", "y", ("n",), ("a",), (100,), delimiter=",")
ROOT = Path(__file__).parents[3]


def write(path: Path, rows: int) -> str:
    """A log of numbered rows."""
    path.write_text("".join(f"{row % 2}\t{row}\tv{row % 7}\n" for row in range(rows)))
    return str(path)


def test_rows_and_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Parquet copy holds the text's rows in order, in row groups that do not depend on how the text was read."""
    source = write(tmp_path / "log.tsv", 1000)
    copies = []
    for block in (700, 5000, 1 << 20):
        monkeypatch.setattr("pipeline.data.text.BLOCK_BYTES", block)
        monkeypatch.setattr("pipeline.data.convert.ROW_GROUP_ROWS", 300)
        (copy,) = convert([source], SCHEMA, tmp_path / f"out_{block}")
        metadata = pq.ParquetFile(copy).metadata
        assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [300, 300, 300, 100]
        copies.append(pq.read_table(copy).to_pylist())
    assert copies[0] == copies[1] == copies[2]
    assert copies[0] == [row for batch in read_text(source, SCHEMA) for row in batch.to_pylist()]


def test_used_again_until_the_source_changes(tmp_path: Path) -> None:
    """A second call does no work; a changed source, or one read with other columns, is converted anew."""
    source = write(tmp_path / "log.tsv", 50)
    (first,) = convert([source], SCHEMA, tmp_path / "out")
    written = os.stat(first).st_mtime_ns
    assert convert([source], SCHEMA.with_max_rows(10), tmp_path / "out") == [first]
    assert os.stat(first).st_mtime_ns == written
    write(tmp_path / "log.tsv", 60)
    (second,) = convert([source], SCHEMA, tmp_path / "out")
    assert pq.ParquetFile(second).metadata.num_rows == 60
    other = Schema("log", "y", ("n",), ("a",), (100,), columns=("y", "a", "n"))
    with pytest.raises(ValueError, match=r"log.tsv:1: column 'n'"):
        convert([source], other, tmp_path / "out")


def test_a_bad_file_leaves_nothing(tmp_path: Path) -> None:
    """When a line is bad no copy appears, whole or in part."""
    source = write(tmp_path / "log.tsv", 50)
    with open(source, "a") as handle:
        handle.write("5\t1\tx\n")
    with pytest.raises(ValueError, match=r"log.tsv:51"):
        convert([source], SCHEMA, tmp_path / "out")
    assert [name for name in os.listdir(tmp_path / "out") if name != ".lock"] == []


def test_files_of_different_columns(tmp_path: Path) -> None:
    """Two files whose headers differ are refused, naming both and the difference."""
    (tmp_path / "a.csv").write_text("y,n,a\n0,1,x\n")
    (tmp_path / "b.csv").write_text("y,n,a,extra\n0,1,x,2\n")
    with pytest.raises(ValueError, match=r"b.csv: .*differ from those of .*a.csv in \['extra'\]"):
        convert([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], HEADED, tmp_path / "out")


def test_killed_and_run_again(tmp_path: Path) -> None:
    """A conversion killed half way leaves no copy; the next one succeeds."""
    source = write(tmp_path / "log.tsv", 2000)
    code = f"""
import sys, time
from pathlib import Path
import pipeline.data.convert as module
from pipeline.data.schema import Schema
original = module.read_text
def slow(path, schema):
    for batch in original(path, schema):
        yield batch
        print("written", flush=True)
        time.sleep(60)
module.read_text = slow
module.convert([sys.argv[1]], {SCHEMA!r}, Path(sys.argv[2]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, source, str(tmp_path / "out")], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list((tmp_path / "out").glob("*.parquet"))
    (copy,) = convert([source], SCHEMA, tmp_path / "out")
    assert pq.ParquetFile(copy).metadata.num_rows == 2000
