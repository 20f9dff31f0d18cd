"""Files that appear whole or not at all: write beside, flush to the disk, rename.

A reader of `path` sees the old contents or the new ones, whatever happens to the writer (an exception, a full disk,
SIGKILL, a power cut). A writer killed outright leaves `<path>.tmp-<pid>` behind, which nobody reads.
"""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_OUT_OF_SPACE = {errno.ENOSPC: "disk full", errno.EDQUOT: "disk quota used up", errno.EFBIG: "file size limit reached"}


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], text: bool = False) -> Iterator[IO[Any]]:
    """Yields a handle (binary, or UTF-8 with `text`) whose contents replace `path` when the block ends well.

    On any exception the temporary file is removed, `path` stays as it was, and the exception is raised again. When the
    disk is full that is an OSError naming the path and saying so. The folder must exist.
    """
    target = Path(path)
    temporary = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") if text else open(temporary, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, target)
        sync_folder(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        _name_full_disk(error, target)
        raise


@contextlib.contextmanager
def scratch_file(folder: Path) -> Iterator[IO[bytes]]:
    """Yields a binary file in `folder` that can be written and read, without a name: it is gone when the block ends, or
    the process, however it ends. A full disk is an OSError naming the folder."""
    try:
        with tempfile.TemporaryFile(dir=folder) as handle:
            yield handle
    except OSError as error:
        _name_full_disk(error, folder)
        raise


def _name_full_disk(error: BaseException, target: Path) -> None:
    """Raises an error with a reason and a path in the place of one by a full disk."""
    if isinstance(error, OSError) and error.errno in _OUT_OF_SPACE and error.filename is None:
        reason = _OUT_OF_SPACE[error.errno]
        raise OSError(error.errno, f"{reason} while writing; free some space and run again", str(target)) from error


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Writes `obj` atomically as JSON. NaN and infinity, which JSON cannot hold, are a ValueError."""
    try:
        document = json.dumps(obj, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: cannot be written as JSON: {error}") from error
    with atomic_write(path, text=True) as handle:
        handle.write(document + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The JSON document in `path`; a ValueError names the file, line and column where it breaks."""
    return parse_json(Path(path).read_bytes(), path)


def parse_json(contents: bytes, path: str | os.PathLike[str]) -> Any:
    """The JSON document in the bytes of `path`, with the same errors, and one for a key that an object has twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = sorted({key for key in keys if keys.count(key) > 1})
            raise ValueError(f"{path}: an object has the keys {twice} twice; repair the file or remove it")
        return found

    try:
        return json.loads(contents.decode("utf-8"), object_pairs_hook=once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"{path}: not JSON at {where}: {error.msg}; repair the file or remove it") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text at byte {error.start}; repair the file or remove it") from error


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the file's bytes in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
