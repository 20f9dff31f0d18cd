"""pipeline/data/storage/paths.py: which files are a click log, in what order, and one process at a time in a folder."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.data.formats.all_formats import FORMATS
from pipeline.data.storage import paths
from pipeline.data.storage.paths import locked, open_binary, split_of_name

ROOT = Path(__file__).parents[4]


def list_files(path: str) -> list[str]:
    """The click logs under a path, of any format."""
    return paths.list_files(path, lambda name: any(each.recognizes(name) for each in FORMATS))


def touch(folder: Path, *names: str) -> None:
    """Makes files."""
    for name in names:
        (folder / name).write_bytes(b"x")


def test_folder(tmp_path: Path) -> None:
    """Logs in natural order; notes, hidden, temporary and JSON files and subfolders are no logs."""
    touch(tmp_path, "day_10.gz", "day_2.gz", "day_1", "a.csv.zst", "b.tsv", "c.txt", "d.parquet")
    touch(tmp_path, "README.md", "README.txt", ".lock", "_SUCCESS", "schema.json", "day_3.gz.tmp-77")
    (tmp_path / "sub.parquet").mkdir()
    names = [Path(file).name for file in list_files(str(tmp_path))]
    assert names == ["a.csv.zst", "b.tsv", "c.txt", "d.parquet", "day_1", "day_2.gz", "day_10.gz"]


def test_file_and_glob(tmp_path: Path) -> None:
    """A file is taken whatever its name; a glob's matches in order."""
    touch(tmp_path, "x.dat", "day_10", "day_9")
    assert list_files(str(tmp_path / "x.dat")) == [str(tmp_path / "x.dat")]
    assert list_files(str(tmp_path / "day_*")) == [str(tmp_path / "day_9"), str(tmp_path / "day_10")]


@pytest.mark.parametrize("name, message", [("no", "does not exist"), (".", "without click logs"), ("*.gz", "no file")])
def test_nothing_there(tmp_path: Path, name: str, message: str) -> None:
    """A missing path, an empty folder and a glob without matches are told apart."""
    with pytest.raises(ValueError, match=message):
        list_files(str(tmp_path / name))


def test_open_missing(tmp_path: Path) -> None:
    """A file that cannot be opened is a ValueError with its path."""
    with pytest.raises(ValueError, match=r"gone.tsv: cannot be opened: No such file"):
        open_binary(str(tmp_path / "gone.tsv"))


@pytest.mark.parametrize(
    "name, split",
    [
        ("train.parquet", "train"),
        ("x/Valid_03.tsv.gz", "valid"),
        ("val.csv", "valid"),
        ("criteo-test.zst", "test"),
        ("day_3.gz", None),
        ("latest.csv", None),
        ("contest.csv", None),
    ],
)
def test_split_words(name: str, split: str | None) -> None:
    """A split is named by a whole word of the file's name."""
    assert split_of_name(name) == split


def test_two_splits_in_a_name() -> None:
    """A name that speaks of two splits is refused."""
    with pytest.raises(ValueError, match="several splits"):
        split_of_name("train_test.csv")


@pytest.mark.slow
def test_lock_excludes_and_dies_with_its_holder(tmp_path: Path) -> None:
    """While another process is inside we wait; when it is killed we get in."""
    code = (
        "import sys, time, pathlib; from pipeline.data.storage.paths import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): print('in', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"in\n"
    waiting = (
        "import sys, pathlib; from pipeline.data.storage.paths import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): pass\n"
    )
    waiter = subprocess.Popen([sys.executable, "-c", waiting, str(tmp_path)], cwd=ROOT)
    time.sleep(0.5)
    assert waiter.poll() is None
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert waiter.wait(600) == 0
    with locked(tmp_path):
        pass
