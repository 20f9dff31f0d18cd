"""pipeline/data/prepare/prepare.py on raw files in a store: the bytes that local files give, or one line of reason."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.prepare.prepare import main, prepare


def settings(path: str, folder: Path) -> PrepareConfig:
    """A preparation by a vocabulary."""
    shared: dict[str, Any] = {"schema": "criteo", "numbering": "vocabulary", "min_count": 2, "processes": 1}
    return PrepareConfig(path=path, folder=str(folder), **shared)


def write_log(folder: Path) -> None:
    """Two days of Criteo rows."""
    folder.mkdir()
    for day in range(2):
        lines = ["\t".join([str(n % 2), *[str(n)] * 13, *[f"{n * n % (7 + day):08x}"] * 26]) for n in range(200)]
        (folder / f"day_{day}.gz").write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_from_a_store_that_falters(tmp_path: Path, s3: Any) -> None:
    """Raw days on s3://, every third answer an error, a dropped or a cut connection: the bytes that local days give."""
    write_log(tmp_path / "raw")
    prepare(settings(str(tmp_path / "raw"), tmp_path / "local"))
    for path in (tmp_path / "raw").iterdir():
        s3.objects[f"logs/raw/{path.name}"] = path.read_bytes()
    faults = ("503", "drop", "cut")
    s3.fault = lambda request, count: faults[count // 3 % 3] if count % 3 == 0 else None
    prepare(settings("s3://logs/raw", tmp_path / "stored"))
    assert len(s3.requests) > 6
    local, stored = contents(tmp_path / "local"), contents(tmp_path / "stored")
    assert local.keys() == stored.keys()
    differing = {name for name in local if local[name] != stored[name]}
    assert differing <= {"manifest.json"}, "all but the paths of the sources"


def test_a_store_without_the_file(tmp_path: Path, s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """A path that holds nothing, and a store that refuses, end the program with one line and leave no result."""
    arguments = ["--schema", "criteo", "--folder", str(tmp_path / "out"), "--path"]
    assert main([*arguments, "s3://logs/none"]) == 1
    assert "s3://logs/none" in capfd.readouterr().err.strip().splitlines()[-1]
    s3.objects["logs/raw/day_0.gz"] = gzip.compress(b"x")
    s3.fault = lambda request, count: "403"
    assert main([*arguments, "s3://logs/raw/day_0.gz"]) == 1
    assert "s3://logs/raw/day_0.gz" in capfd.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.glob("out/*.parquet")) and not (tmp_path / "out" / "manifest.json").exists()
