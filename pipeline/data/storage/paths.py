"""Where data lie: every path of a click log is listed and opened here, through iopath.

`path_manager` knows local paths and the stores of `remote.py`.
"""

import contextlib
import fcntl
import fnmatch
import functools
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
from iopath.common.file_io import PathManager, PathManagerFactory

from pipeline.data.storage.remote import register
from pipeline.data.storage.retry import StorageError

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
"""What a text file's last suffix says about its compression, in Arrow's words."""
_SPLIT_WORDS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}


@functools.cache
def path_manager() -> PathManager:
    """The process's PathManager, which knows the stores of `remote.py`; local paths need no handler."""
    manager = PathManagerFactory.get("pipeline.data")
    register(manager)
    return manager


def open_binary(path: str) -> BinaryIO:
    """The file's bytes as stored; a ValueError where there is no such file, a StorageError where its store fails."""
    try:
        handle: BinaryIO = path_manager().open(path, "rb")
    except StorageError:
        raise
    except OSError as error:
        raise ValueError(f"{path}: cannot be opened: {error.strerror or error}; check data.path") from error
    return handle


def open_arrow(path: str) -> pa.NativeFile:
    """The same for Arrow, which reads local files without Python's help and knows what it needs of others."""
    handle = open_binary(path)
    if Path(path).is_file():
        handle.close()
        return pa.OSFile(path)
    return pa.PythonFile(cast(io.BufferedReader, handle).detach(), "r")


def file_size(path: str) -> int:
    """Bytes of the file as stored."""
    with open_binary(path) as handle:
        return handle.seek(0, 2)


def list_files(path: str, is_click_log: Callable[[str], bool]) -> list[str]:
    """The click logs under a file, a folder or a glob, in natural order (day_2 before day_10).

    Of a folder: the files that `is_click_log` recognizes by their names. Hidden files, READMEs and subfolders are left
    out. Nothing found is a ValueError.
    """
    manager = path_manager()
    if manager.isfile(path):
        return [path]
    if manager.isdir(path):
        found = [f"{path.rstrip('/')}/{name}" for name in manager.ls(path)]
        files = [file for file in found if not _is_hidden(file) and is_click_log(file) and manager.isfile(file)]
        what = "is a folder without click logs (Parquet, or .tsv / .csv / .txt / no suffix, plain, .gz or .zst)"
    elif any(character in path for character in "*?["):
        files = _glob(path)
        what = "matches no file"
    else:
        files, what = [], "does not exist"
    if not files:
        raise ValueError(f"data.path {path!r} {what}; give a file, a folder or a glob of click logs")
    return sorted(files, key=_natural_key)


def _glob(path: str) -> list[str]:
    """Files that match; of a store, in one folder."""
    if "://" not in path:
        return [str(file) for file in Path("/").glob(str(Path(path).absolute()).lstrip("/")) if file.is_file()]
    folder, _, pattern = path.rpartition("/")
    return [f"{folder}/{name}" for name in path_manager().ls(folder) if fnmatch.fnmatchcase(name, pattern)]


def check_same_columns(path: str, columns: list[str], first_path: str, first_columns: list[str]) -> None:
    """Files of one click log have the same columns; a ValueError names both files and the difference."""
    if columns != first_columns and (different := sorted(set(columns) ^ set(first_columns))):
        raise ValueError(
            f"{path}: its columns differ from those of {first_path} in {different}; give files of one kind"
        )


def split_of_name(path: str) -> str | None:
    """The split a file name speaks of as a word of its own, if it speaks of one.

    >>> split_of_name("frappe/train.parquet"), split_of_name("valid_3.tsv.gz"), split_of_name("latest.csv")
    ('train', 'valid', None)
    """
    words = re.split(r"[^a-z]+", Path(path).name.lower())
    found = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}
    if len(found) > 1:
        raise ValueError(f"{path}: the name speaks of several splits {sorted(found)}; rename the file")
    return found.pop() if found else None


def day_of_name(path: str) -> int | None:
    """The day that a file name speaks of, if it does.

    >>> day_of_name("criteo/day_3.gz"), day_of_name("day_23-00001.parquet"), day_of_name("monday_1.tsv")
    (3, 23, None)
    """
    found = re.search(r"(?<![a-z])day_?(\d+)", Path(path).name.lower())
    return int(found[1]) if found else None


def _is_hidden(path: str) -> bool:
    name = Path(path)
    return name.name.startswith((".", "_")) or ".tmp-" in name.name or name.stem.upper() in ("README", "LICENSE")


def _natural_key(path: str) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", path)]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder; one process of this machine at a time is inside. A killed holder's lock is gone with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
