"""A changed log is refused by the file's name; a moved or copied one is the same."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.config import DataConfig
from pipeline.data.fingerprint import END_BYTES, Fingerprint, check_unchanged, fingerprint

RUN = Path("runs/mine")
ROWS = 40_000
"""Lines of a text file: much more than the ends that are summed."""


def write_log(folder: Path, kind: str) -> Path:
    """Two files, days of one log."""
    folder.mkdir(parents=True)
    for day in range(2):
        values = [f"{(day + row) * 7919 % 100_000:05d}" for row in range(ROWS)]
        if kind == "parquet":
            pq.write_table(
                pa.table({"label": [row % 2 for row in range(ROWS)], "a": values}), folder / f"day_{day}.parquet"
            )
        else:
            (folder / f"day_{day}.tsv").write_text("\n".join(values) + "\n")
    return folder


def of(path: Path) -> DataConfig:
    """The settings of a log."""
    return DataConfig(path=str(path))


@pytest.mark.parametrize("kind", ["parquet", "text"])
def test_a_moved_log_is_the_same(tmp_path: Path, kind: str) -> None:
    """In another folder, copied with another time, or named as a glob: nothing is refused."""
    log = write_log(tmp_path / "log", kind)
    then = fingerprint(of(log))
    assert len(then.files) == 2 and all(file.name.startswith("day_") for file in then.files)
    check_unchanged(then, of(log), RUN)
    moved = tmp_path / "elsewhere" / "deep"
    shutil.copytree(log, moved, copy_function=shutil.copyfile)
    for file in moved.iterdir():
        os.utime(file, (1, 1))
    check_unchanged(then, of(moved), RUN)
    check_unchanged(then, DataConfig(path=f"{moved}/day_*"), RUN)


def append(file: Path) -> None:
    """A byte more."""
    with file.open("ab") as handle:
        handle.write(b"\n")


def cut(file: Path) -> None:
    """Half of it."""
    os.truncate(file, file.stat().st_size // 2)


def first_byte(file: Path) -> None:
    """Other contents at the beginning."""
    change(file, 0)


def last_byte(file: Path) -> None:
    """Other contents at the end."""
    change(file, file.stat().st_size - 2)


def middle(file: Path) -> None:
    """Other contents at one of the places that are looked at."""
    change(file, file.stat().st_size // 2 + 10)


def change(file: Path, place: int) -> None:
    """Flip a byte, keeping the time of the last change."""
    times, contents = file.stat(), bytearray(file.read_bytes())
    contents[place] ^= 1
    file.write_bytes(contents)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (append, r"day_1\.tsv has 240,001 bytes and had 240,000"),
    (cut, r"day_1\.tsv has 120,000 bytes and had 240,000"),
    (first_byte, r"day_1\.tsv has other contents of the same length"),
    (last_byte, r"day_1\.tsv has other contents of the same length"),
    (middle, r"day_1\.tsv has other contents of the same length"),
    (Path.unlink, r"day_1\.tsv is missing"),
    (lambda file: shutil.copy(file, file.with_name("day_2.tsv")), r"day_2\.tsv is new"),
    (lambda file: file.rename(file.with_name("day_7.tsv")), r"day_1\.tsv is missing; day_7\.tsv is new"),
]


@pytest.mark.parametrize("case", range(len(CHANGES)))
def test_a_changed_text_log(tmp_path: Path, case: int) -> None:
    """Each change is refused with the file's name, what changed, and what to do, in one line."""
    spoil, message = CHANGES[case]
    log = write_log(tmp_path / "log", "text")
    then = fingerprint(of(log))
    spoil(log / "day_1.tsv")
    with pytest.raises(ValueError, match=message) as raised:
        check_unchanged(then, of(log), RUN)
    said = str(raised.value)
    assert said.startswith(f"data.path: the click log in {log} is not the one that {RUN} was begun with: ")
    assert said.endswith("put back what was there, or begin a new run (--run with another name)") and "\n" not in said
    assert "day_0" not in said


def test_a_changed_parquet_log(tmp_path: Path) -> None:
    """Other rows of the same number and size have another footer: its statistics say so."""
    log = write_log(tmp_path / "log", "parquet")
    then, file = fingerprint(of(log)), log / "day_1.parquet"
    table, size = pq.read_table(file), file.stat().st_size
    other = table.set_column(1, "a", pa.array(["zzzzz", *table["a"].to_pylist()[1:]]))
    pq.write_table(other, file)
    change_of_size = f"has {file.stat().st_size:,} bytes and had {size:,}"
    message = "has other contents of the same length" if file.stat().st_size == size else change_of_size
    with pytest.raises(ValueError, match=re.escape(f"day_1.parquet {message}")):
        check_unchanged(then, of(log), RUN)
    file.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"day_1\.parquet has 4 bytes and had"):
        check_unchanged(then, of(log), RUN)


def test_many_changes_are_counted(tmp_path: Path) -> None:
    """Three are named."""
    log = write_log(tmp_path / "log", "text")
    then = fingerprint(of(log))
    for day in range(2, 9):
        (log / f"day_{day}.tsv").write_text("1\n")
    with pytest.raises(ValueError, match=r"day_2\.tsv is new; day_3\.tsv is new; day_4\.tsv is new, and 4 more; put"):
        check_unchanged(then, of(log), RUN)


def test_a_generated_log_has_no_files(tmp_path: Path) -> None:
    """Generated rows follow from the settings; a log in their place is refused, and the other way round."""
    log = write_log(tmp_path / "log", "text")
    assert fingerprint(DataConfig()) == Fingerprint(())
    check_unchanged(Fingerprint(()), DataConfig(), RUN)
    with pytest.raises(ValueError, match=r"day_0\.tsv is new"):
        check_unchanged(Fingerprint(()), of(log), RUN)
    with pytest.raises(ValueError, match=r"the click log in the generator is not the one .* day_0\.tsv is missing"):
        check_unchanged(fingerprint(of(log)), DataConfig(), RUN)


def test_small_files_are_summed_whole(tmp_path: Path) -> None:
    """Any byte of a file that is not larger than the ends decides."""
    (tmp_path / "log").mkdir()
    file = tmp_path / "log" / "day_0.tsv"
    file.write_bytes(b"1\n" * (END_BYTES // 4))
    then = fingerprint(of(tmp_path / "log"))
    for place in (0, 1000, file.stat().st_size - 1):
        change(file, place)
        with pytest.raises(ValueError, match="other contents"):
            check_unchanged(then, of(tmp_path / "log"), RUN)
        change(file, place)
        check_unchanged(then, of(tmp_path / "log"), RUN)
