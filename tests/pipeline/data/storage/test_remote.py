"""pipeline/data/storage/remote.py:
logs in stores stream as local ones do; passing errors are waited out, others end."""

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data import DataConfig, Dataset, Schema, open_dataset
from pipeline.data.formats.all_formats import find_files
from pipeline.data.formats.parquet import ParquetReader
from pipeline.data.storage import retry
from pipeline.data.storage.paths import open_binary, path_manager
from pipeline.data.storage.retry import StorageError

ROOT = Path(__file__).parents[4]
ROWS = 3000
SCHEMA = Schema("log", "label", (), ("row",), (2**31 - 1,), integer_ids=("row",), columns=("label", "row"))


def parquet_bytes() -> bytes:
    """Numbered rows."""
    sink = io.BytesIO()
    rows = np.arange(ROWS)
    pq.write_table(pa.table({"label": rows % 2, "row": rows}), sink, row_group_size=500)
    return sink.getvalue()


def text_bytes() -> bytes:
    """The same rows, compressed."""
    return gzip.compress("".join(f"{row % 2}\t{row}\n" for row in range(ROWS)).encode())


def delivered(dataset: Dataset) -> list[int]:
    """The numbers of all rows of all splits, in order."""
    rows: list[int] = []
    for split in ("train", "valid", "test"):
        with dataset.stream(split, 100, drop_last=False, shuffle_seed=1) as stream:
            rows += [value - 1 for batch in stream for value in batch.ids[:, 0].tolist()]
    return sorted(rows)


def put_log(server: Any, kind: str) -> DataConfig:
    """A log in the server's bucket, in a folder with its schema, and how to open it."""
    contents = {"parquet": parquet_bytes, "tsv.gz": text_bytes}[kind]()
    server.objects[f"logs/clicks/day_0.{kind}"] = contents
    server.objects["logs/clicks/schema.json"] = (
        str(SCHEMA.to_json()).replace("'", '"').replace("False", "false").encode()
    )
    server.objects["logs/clicks/deeper/other.parquet"] = b""
    return DataConfig(path="s3://logs/clicks", max_table_rows=2**31 - 1, numbering="hash")


@pytest.mark.parametrize("kind", ["parquet", "tsv.gz"])
@pytest.mark.slow
def test_s3(s3: Any, tmp_path: Path, kind: str) -> None:
    """A folder in S3 lists, brings its schema and streams every row, as Parquet and as compressed text."""
    config = put_log(s3, kind)
    assert find_files(config.path)[0] == [f"s3://logs/clicks/day_0.{kind}"]
    assert find_files("s3://logs/clicks/day_*")[0] == [f"s3://logs/clicks/day_0.{kind}"]
    dataset = open_dataset(config, str(tmp_path))
    assert dataset.schema.name == "log"
    assert delivered(dataset) == list(range(ROWS))


@pytest.mark.parametrize("kind", ["parquet", "tsv.gz"])
@pytest.mark.parametrize("fault", ["503", "drop", "cut"])
@pytest.mark.slow
def test_passing_errors(s3: Any, tmp_path: Path, kind: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a quarter of the answers are errors, lost connections or half bodies, every row still comes once."""
    config = put_log(s3, kind)
    monkeypatch.setattr(retry, "RETRY_RULE", retry.RetryRule(attempts=20, first_pause_s=1e-5, timeout_s=5.0))
    generator = np.random.Generator(np.random.PCG64(0))
    s3.fault = lambda request, number: fault if generator.random() < 0.25 else ""
    assert delivered(open_dataset(config, str(tmp_path))) == list(range(ROWS))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "tsv.gz"])
def test_slow_reads(s3: Any, tmp_path: Path, kind: str) -> None:
    """An answer that does not come in time is asked for again."""
    config = put_log(s3, kind)
    s3.fault = lambda request, number: "stall" if number in (3, 9) else ""
    assert delivered(open_dataset(config, str(tmp_path))) == list(range(ROWS))


def test_many_files(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a store are looked into together, and count in their natural order, also when answers fail; a cut
    one among them is named."""
    put_log(s3, "parquet")
    whole = parquet_bytes()
    for day in range(40):
        s3.objects[f"logs/clicks/day_{day}.parquet"] = whole
    monkeypatch.setattr(retry, "RETRY_RULE", retry.RetryRule(attempts=20, first_pause_s=0.001))
    s3.fault = lambda request, number: "503" if number % 7 == 3 else ""
    log = ParquetReader(find_files("s3://logs/clicks")[0], SCHEMA)
    paths = [unit.path for unit in log.units]
    assert paths == [f"s3://logs/clicks/day_{day}.parquet" for day in range(40) for _ in range(ROWS // 500)]
    assert [unit.first_row for unit in log.units] == list(range(0, 40 * ROWS, 500))
    s3.objects["logs/clicks/day_33.parquet"] = whole[:-20]
    with pytest.raises(ValueError, match=r"s3://logs/clicks/day_33.parquet: not a whole Parquet file"):
        ParquetReader(find_files("s3://logs/clicks")[0], SCHEMA)


@pytest.mark.parametrize("fault", ["503", "drop", "stall"])
@pytest.mark.slow
def test_failing_for_good(s3: Any, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails while streaming ends the stream with the path, the attempts and the cause."""
    config = put_log(s3, "parquet")
    dataset = open_dataset(config, str(tmp_path))
    monkeypatch.setattr(retry, "RETRY_RULE", retry.RetryRule(attempts=2, first_pause_s=0.01, timeout_s=0.5))
    s3.fault = lambda request, number: fault
    with pytest.raises(StorageError, match=r"s3://logs/clicks/day_0.parquet: given up after 2 attempts: .+"):
        delivered(dataset)


def test_refused_at_once(s3: Any, tmp_path: Path) -> None:
    """What is not there, or not allowed, is not asked for again and again."""
    put_log(s3, "parquet")
    with pytest.raises(ValueError, match="s3://logs/nothing' does not exist"):
        open_dataset(DataConfig(path="s3://logs/nothing"), str(tmp_path))
    with pytest.raises(ValueError, match=r"s3://logs/gone.parquet: cannot be opened"):
        open_binary("s3://logs/gone.parquet")
    s3.fault = lambda request, number: "403"
    before = len(s3.requests)
    with pytest.raises(ValueError, match=r"cannot be opened: .*ACCESS_DENIED"):
        open_binary("s3://logs/clicks/day_0.parquet")
    assert len(s3.requests) == before + 1


@pytest.mark.slow
def test_program_ends(s3: Any, ready: Any, tmp_path: Path) -> None:
    """A program whose path keeps failing ends with one line, an exit code above zero, and no hang."""
    put_log(s3, "parquet")
    s3.fault = lambda request, number: "503"
    code = (
        "from pipeline.data.storage import retry; import sys; retry.RETRY_RULE = retry.RetryRule(3, 0.01, 1.0)\n"
        "from pipeline.command_line import run_program\n"
        "sys.exit(run_program(print, 'train', sys.argv[1:]))"
    )
    arguments = ["--data.path", "s3://logs/clicks/day_0.parquet", "--runs", str(tmp_path)]
    (done,) = ready.run([(code, arguments, os.environ)])
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("train: ")]
    assert "s3://logs/clicks/day_0.parquet: given up after 3 attempts" in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("fault", ["", "503", "drop", "cut"])
def test_http(s3: Any, tmp_path: Path, fault: str) -> None:
    """A file of a web server streams by ranges, past errors that pass."""
    put_log(s3, "tsv.gz")
    s3.fault = lambda request, number: fault if number % 3 == 0 else ""
    SCHEMA.save(tmp_path / "schema.json")
    path, schema = f"{s3.url}/logs/clicks/day_0.tsv.gz", str(tmp_path / "schema.json")
    config = DataConfig(path, schema, max_table_rows=2**31 - 1, numbering="hash")
    assert delivered(open_dataset(config, str(tmp_path))) == list(range(ROWS))
    s3.fault = lambda request, number: ""
    with pytest.raises(ValueError, match="does not exist"):
        find_files(f"{s3.url}/logs/clicks/day_1.tsv.gz")


def test_fsspec(tmp_path: Path) -> None:
    """Schemes that only fsspec knows are read and written through it."""
    with path_manager().open("memory://store/log.parquet", "wb") as handle:
        handle.write(parquet_bytes())
    try:
        config = DataConfig(path="memory://store", max_table_rows=2**31 - 1, numbering="hash")
        assert delivered(open_dataset(config, str(tmp_path))) == list(range(ROWS))
    finally:
        fsspec.filesystem("memory").rm("/store", recursive=True)


@pytest.mark.parametrize("size", [0, 1, 10_000])
def test_seek_and_read(s3: Any, size: int) -> None:
    """A remote file reads like the bytes it holds, from anywhere, in pieces of any size."""
    contents = np.random.Generator(np.random.PCG64(0)).bytes(size)
    s3.objects["logs/bytes"] = contents
    reads: list[Callable[[io.BufferedIOBase], object]] = [
        lambda file: file.read(),
        lambda file: (file.seek(size // 2), file.read(7)),
        lambda file: (file.seek(-min(size, 5), 2), file.read(100), file.tell()),
    ]
    for read in reads:
        with open_binary("s3://logs/bytes") as remote_file:
            assert read(remote_file) == read(io.BytesIO(contents))  # type: ignore[arg-type]
