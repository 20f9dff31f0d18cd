"""pipeline/data/prepare/prepare.py:
raw logs become prepared ones, the same to the byte whatever stops it on the way."""

import csv
import gzip
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.data import DataConfig, Schema, open_dataset
from pipeline.data.formats.features import text_hash
from pipeline.data.formats.prepared import ROW_GROUP_ROWS
from pipeline.data.generate.logs import GenerateConfig, generate
from pipeline.data.prepare.prepare import PrepareConfig, main, prepare

ROOT = Path(__file__).parents[4]
REAL = ROOT.parent / "shared" / "data"
CRITEO = Schema.load("criteo")


def write_log(folder: Path, days: int = 3, rows: int = 400) -> Path:
    """A small Criteo log, a file a day, rows numbered in int_0."""
    folder.mkdir(exist_ok=True)
    for day in range(days):
        generator = np.random.Generator(np.random.PCG64(day))
        lines = []
        for row in range(rows):
            words = [f"{int(value):08x}" for value in generator.zipf(1.5, 25) % 10**9]
            lines.append("\t".join([str(row % 2), str(row), *[""] * 12, "", *words]))
        (folder / f"day_{day}.gz").write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def config(raw: Path, folder: Path, **changes: object) -> PrepareConfig:
    """Settings of a test."""
    return PrepareConfig(**{"path": str(raw), "schema": "criteo", "folder": str(folder), "processes": 1, **changes})  # type: ignore[arg-type]


def expected_rows(raw: list[dict[str, str]], schema: Schema, number: Callable[[str, str], int]) -> list[list[float]]:
    """Label, integers and categories of rows, in plain Python."""
    out: list[list[float]] = []
    for row in raw:
        integers = [math.log(max(int(row[c]), 0) + 1) if row[c] else -1.0 for c in schema.integers]
        out.append([min(int(row[schema.label]), 1), *integers, *(number(c, row[c]) for c in schema.categories)])
    return out


REAL_FILES = [
    ("criteo/kaggle_8000.tsv.gz", "criteo"),
    ("criteo/terabyte_1000.tsv.gz", "criteo_terabyte"),
    ("avazu/avazu_9000.csv.gz", "avazu"),
]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real data (../shared/data) are absent")
@pytest.mark.parametrize("numbering", ["hash", "vocabulary"])
@pytest.mark.parametrize("file, schema_name", REAL_FILES)
def test_brute_force_on_real_rows(tmp_path: Path, file: str, schema_name: str, numbering: str) -> None:
    """Every value of every row is what a few lines of plain Python make of it."""
    schema = Schema.load(schema_name)
    text = gzip.decompress((REAL / file).read_bytes()).decode().splitlines()
    names = list(schema.columns) or text[0].split(",")
    lines = csv.reader(text if schema.columns else text[1:], delimiter=schema.delimiter)
    raw = [dict(zip(names, line, strict=True)) for line in lines]
    min_count = 3 if numbering == "vocabulary" else 1
    settings = {"schema": schema_name, "numbering": numbering, "min_count": min_count}
    prepare(config(REAL / file, tmp_path / "out", **settings))

    def value(column: str, found: str) -> str | int:
        return int(found) % 100 if column in schema.hours else found

    ranks: dict[str, dict[str | int, int]] = {}
    for column in schema.categories:
        counts = Counter(value(column, row[column]) for row in raw if row[column])
        kept = sorted((v for v in counts if counts[v] >= min_count), key=lambda v: (-counts[v], v))
        ranks[column] = {v: row for row, v in enumerate(kept, start=2)}
    sizes = dict(zip(schema.categories, schema.table_sizes, strict=True))

    def number(column: str, found: str) -> int:
        if not found:
            return 0
        if numbering == "vocabulary":
            return ranks[column].get(value(column, found), 1)
        whole = int(found) % 100 if column in schema.hours else text_hash(found)
        return 1 + whole % (sizes[column] - 1)

    (path,) = (tmp_path / "out").glob("*.parquet")
    table = pq.read_table(path)
    expected = expected_rows(raw, schema, number)
    assert table.column_names == list(schema.inputs)
    for place, name in enumerate(schema.inputs):
        np.testing.assert_allclose(table[name].to_numpy(), [row[place] for row in expected], rtol=1e-6, err_msg=name)
    if numbering == "vocabulary":
        true_sizes = tuple(len(ranks[column]) + 2 for column in schema.categories)
        assert Schema.load(str(tmp_path / "out" / "schema.json")).table_sizes == true_sizes


@pytest.fixture(scope="module")
def raw_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated days, enough to be killed in."""
    folder = tmp_path_factory.mktemp("raw")
    for file in generate(GenerateConfig(str(folder / "all"), rows=80_000, days=4, format="tsv", compression="gz")):
        os.rename(file, folder / Path(file).name)
    return folder


def command(raw: Path, folder: Path, *more: str) -> list[str]:
    """The program as one types it."""
    options = ["--path", f"{raw}/day_*", "--schema", "criteo", "--folder", str(folder), "--processes", "2"]
    options += ["--numbering", "vocabulary", "--min_count", "2", *more]
    return [sys.executable, "-W", "ignore", "-m", "pipeline.data.prepare", *options]


@pytest.fixture(scope="module")
def whole(raw_days: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """What an uninterrupted run leaves, and the seconds it takes."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    started = time.monotonic()
    subprocess.run(command(raw_days, folder), cwd=ROOT, check=True, capture_output=True)
    return contents(folder), time.monotonic() - started


@pytest.mark.slow
def test_killed_and_run_again(raw_days: Path, whole: tuple[dict[str, bytes], float], tmp_path: Path) -> None:
    """Killed outright at random moments, then run to the end: the same bytes as without a stop, and nothing beside."""
    expected, seconds = whole
    generator = np.random.Generator(np.random.PCG64(1))
    stopped = 0
    for _ in range(3):
        process = subprocess.Popen(command(raw_days, tmp_path / "out"), cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            process.wait(generator.uniform(0.3, 0.7) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            stopped += 1
    subprocess.run(command(raw_days, tmp_path / "out"), cwd=ROOT, check=True, capture_output=True)
    assert stopped
    assert differing(contents(tmp_path / "out"), expected) == []


def differing(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """Names of files that are not the same."""
    return sorted(name for name in found | expected if found.get(name) != expected.get(name))


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts programs, and ends those that a failing test leaves behind."""
    started: list[subprocess.Popen[str]] = []

    def start_one(arguments: list[str]) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


Start = Callable[[list[str]], subprocess.Popen[str]]


def wait_until(there: Path) -> None:
    """Until a file appears, or ten minutes are over."""
    deadline = time.monotonic() + 600
    while not there.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def replica(raw: Path, folder: Path, number: int) -> list[str]:
    """One of two replicas."""
    return command(raw, folder, "--replica", str(number), "--replicas", "2", "--processes", "1")


@pytest.mark.slow
def test_replicas_and_a_lost_one(
    raw_days: Path, whole: tuple[dict[str, bytes], float], start: Start, tmp_path: Path
) -> None:
    """Replicas, of which one is killed and started again, leave what one process alone leaves."""
    folder = tmp_path / "out"
    processes = [start(replica(raw_days, folder, number)) for number in range(2)]
    wait_until(folder / "work" / "settings.json")
    time.sleep(0.5)
    processes[1].kill()
    processes[1].wait()
    processes[1] = start(replica(raw_days, folder, 1))
    assert [process.wait(timeout=6000) for process in processes] == [0, 0]
    assert differing(contents(folder), whole[0]) == []


def test_what_is_written(tmp_path: Path) -> None:
    """Schema, statistics and manifest say what is in the files, which keep their names; a second run does nothing."""
    raw = write_log(tmp_path / "raw")
    with gzip.open(raw / "day_1.gz", "ab") as handle:
        handle.write(b"0\tx\n")
    manifest_path = prepare(config(raw, tmp_path / "out", numbering="vocabulary", min_count=2, max_bad_rows=0.01))
    manifest = json.loads(manifest_path.read_text())
    assert [Path(source["source"]).stem for source in manifest["sources"]] == ["day_0", "day_1", "day_2"]
    files = [file for source in manifest["sources"] for file in source["files"]]
    assert [file["file"] for file in files] == [f"day_{day}-00000.parquet" for day in range(3)]
    assert (manifest["rows"], manifest["quarantined"]) == (1200, 1)
    tables = []
    for file in files:
        bytes_of = (tmp_path / "out" / file["file"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(bytes_of), hashlib.sha256(bytes_of).hexdigest())
        tables.append(pq.read_table(tmp_path / "out" / file["file"]))
        assert tables[-1].num_rows == file["rows"] == 400
    (bad,) = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()]
    reason = "found 2 columns, expected 40"
    assert bad == {"file": str(raw / "day_1.gz"), "line": 401, "reason": reason, "text": "0\tx"}
    statistics = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert (statistics["rows"], statistics["label_ratio"]) == (1200, 0.5)
    assert statistics["columns"]["int_0"] == {"missing_share": 0, "min": 0, "max": 399, "distinct": 400}
    assert statistics["columns"]["int_5"] == {"missing_share": 1, "min": None, "max": None, "distinct": 0}
    schema = Schema.load(str(tmp_path / "out" / "schema.json"))
    for name, size in zip(schema.categories, schema.table_sizes, strict=True):
        ids = np.concatenate([table[name].to_numpy() for table in tables])
        found = statistics["columns"][name]
        vocabulary = pq.read_table(tmp_path / "out" / "vocabulary" / f"{name}.parquet")
        assert found["table_rows"] == size == vocabulary.num_rows + 2
        assert found["distinct"] == len(np.unique(ids[ids > 0]))
        assert found["missing_share"] == (ids == 0).mean()
        assert found["out_of_vocabulary_share"] == (ids == 1).mean()
        counts = np.bincount(ids, minlength=size)
        assert counts[2:].tolist() == vocabulary["count"].to_pylist()
    before = {path: os.stat(path).st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    prepare(config(raw, tmp_path / "out", numbering="vocabulary", min_count=2))
    assert {path: os.stat(path).st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_trained_on_as_it_is(tmp_path: Path) -> None:
    """A prepared folder opens like any log and gives the ids and integers that the raw one gives."""
    raw = write_log(tmp_path / "raw")
    prepare(config(raw, tmp_path / "out", max_table_rows=500))

    def rows(path: Path, schema: str) -> list[tuple[float, ...]]:
        numbering: Any = "hash" if schema else "auto"
        settings = DataConfig(path=str(path), schema=schema, max_table_rows=500, numbering=numbering)
        dataset = open_dataset(settings, str(tmp_path / "opened"))
        found = []
        for split in ("train", "valid", "test"):
            with dataset.stream(split, 50, drop_last=False) as stream:
                for batch in stream:
                    found += [
                        (float(label), *dense.tolist(), *ids.tolist())
                        for label, dense, ids in zip(batch.label, batch.dense, batch.ids, strict=True)
                    ]
        return sorted(found)

    assert rows(tmp_path / "out", "") == rows(raw, "criteo")


@pytest.mark.slow
def test_row_groups(raw_days: Path, tmp_path: Path) -> None:
    """Row groups are full but for the last of a file."""
    big = tmp_path / "day.tsv"
    big.write_bytes(b"".join(gzip.decompress((raw_days / f"day_{day}.tsv.gz").read_bytes()) for day in range(4)) * 2)
    prepare(config(big, tmp_path / "out"))
    metadata = pq.ParquetFile(tmp_path / "out" / "day-00000.parquet").metadata
    groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert groups == [ROW_GROUP_ROWS, 160_000 - ROW_GROUP_ROWS]


def test_too_many_bad_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over the share it stops with exit code 1 and the first bad lines; with a larger share it resumes."""
    raw = write_log(tmp_path / "raw", days=1, rows=20)
    lines = gzip.decompress((raw / "day_0.gz").read_bytes()).split(b"\n")
    for place in range(3, 10):
        lines[place] = b"broken %d" % place
    (raw / "day_0.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    arguments = ["--path", str(raw), "--schema", "criteo", "--folder", str(tmp_path / "out"), "--max_bad_rows"]
    assert main([*arguments, "0.3"]) == 1
    said = capsys.readouterr().err
    assert "day_0.gz: 7 of the first 20 lines are not rows of schema 'criteo', more than max_bad_rows = 0.3" in said
    assert [
        f"line {number}: found 1 columns, expected 40: 'broken {number - 1}'" in said for number in range(3, 10)
    ] == [*[False, True, True, True, True, True, False]]
    assert not list((tmp_path / "out").glob("*.parquet"))
    assert main([*arguments, "0.35"]) == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["quarantined"] == 7


def test_refusals(tmp_path: Path) -> None:
    """Mistakes are ValueErrors that name the file or field and what to do."""
    raw = write_log(tmp_path / "raw", rows=10)
    prepare(config(raw, tmp_path / "out"))
    with pytest.raises(ValueError, match="was prepared or begun with other numbering and min_count"):
        prepare(config(raw, tmp_path / "out", numbering="vocabulary", min_count=3))
    with pytest.raises(ValueError, match=r"is Parquet, .*; prepare reads raw text"):
        prepare(config(tmp_path / "out", tmp_path / "again"))
    (raw / "day_1.tsv").write_bytes(gzip.decompress((raw / "day_1.gz").read_bytes()))
    with pytest.raises(ValueError, match=r"day_1.tsv and .*day_1.gz would both become day_1-00000.parquet"):
        prepare(config(raw, tmp_path / "twice"))
    (raw / "day_1.tsv").unlink()
    (raw / "day_2.gz").write_bytes((raw / "day_2.gz").read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"day_2.gz: the gzip data are truncated"):
        prepare(config(raw, tmp_path / "cut"))


@pytest.mark.slow
def test_one_replica_stops_the_others(start: Start, tmp_path: Path) -> None:
    """Where one replica cannot go on, the others end with its reason instead of waiting for ever."""
    raw, folder = write_log(tmp_path / "raw", days=2, rows=50), tmp_path / "out"
    (raw / "day_1.gz").write_bytes(gzip.compress(b"no row\n" * 50))
    processes = [start(replica(raw, folder, 0))]
    wait_until(folder / "work" / "counts" / "day_0.parquet")
    processes.append(start(replica(raw, folder, 1)))
    said = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1]
    assert "another replica stopped" in said[0]
    assert all("day_1.gz: 50 of the first 50 lines are not rows" in each for each in said)


def test_files_of_different_schemas(tmp_path: Path) -> None:
    """A second file whose header names other columns is refused before anything is written."""
    schema = tmp_path / "shop.json"
    schema.write_text(json.dumps(Schema("shop", "bought", ("price",), ("user",), (50,)).to_json()))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.tsv").write_text("bought\tprice\tuser\n1\t2\tx\n")
    (tmp_path / "raw" / "b.tsv").write_text("bought\tcost\tuser\n1\t2\tx\n")
    with pytest.raises(ValueError, match=r"b\.tsv.*cost"):
        prepare(config(tmp_path / "raw", tmp_path / "out", schema=str(schema)))
    assert not list(tmp_path.glob("out/*.parquet"))
