"""What the files of a click log were when a run began, so that the run is not continued on others.

Kept in data/files.json of the run's folder. A log may lie elsewhere when the run goes on: its files' names, sizes and
contents decide, as far as their footers (Parquet) or samples of them (text) tell, and not where they are.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.data.config import DataConfig
from pipeline.data.formats.all_formats import find_files
from pipeline.data.formats.parquet import PARQUET
from pipeline.data.storage.paths import open_binary

END_BYTES = 1 << 16
"""At the beginning and at the end of a text file, whose sum is taken."""
PIECES = 16
"""Places in a local text file, evenly spread, at which END_BYTES more are summed: reading them costs no request."""
FOOTER_LENGTH, MAGIC = 8, b"PAR1"
"""A Parquet file ends with its footer, the footer's length in 4 bytes, and 4 of magic (parquet-format, README)."""


@dataclass(frozen=True)
class LogFile:
    """A file of a click log."""

    name: str
    """Its path below the folder that all files of the log have in common."""
    bytes: int
    """Its size as stored."""
    modified_ns: int | None
    """When it was last modified, ns since 1970; None where its store does not say. It is shown, and does not decide:
    a copy has another."""
    crc32: int
    """CRC-32 of a Parquet file's footer, which has the places and statistics of all its columns; of another file's
    beginning and end."""
    pieces_crc32: int | None
    """CRC-32 of pieces of a local file that is not Parquet; else None."""


@dataclass(frozen=True)
class Fingerprint:
    """data/files.json."""

    files: tuple[LogFile, ...]
    """In the log's order; none where the log is generated."""


def fingerprint(config: DataConfig) -> Fingerprint:
    """The files of the log as they are now. Raises ValueError where there are none."""
    if not config.path:
        return Fingerprint(())
    paths, kind = find_files(config.path)
    folder = _common_folder(paths)
    return Fingerprint(tuple(_file(path, path[len(folder) :], kind is PARQUET) for path in paths))


def check_unchanged(then: Fingerprint, config: DataConfig, run: Path) -> None:
    """Raise ValueError naming a file that is not what it was when the run began, what changed, and what to do."""
    now = fingerprint(config)
    before, after = ({file.name: file for file in one.files} for one in (then, now))
    problems = [_change(before.get(name), after.get(name), name) for name in sorted({*before, *after})]
    found = [problem for problem in problems if problem]
    if found:
        more = f", and {len(found) - 3} more" if len(found) > 3 else ""
        place = config.path or "the generator"
        raise ValueError(
            f"data.path: the click log in {place} is not the one that {run} was begun with: {'; '.join(found[:3])}"
            f"{more}; put back what was there, or begin a new run (--run with another name)"
        )


def _change(before: LogFile | None, after: LogFile | None, name: str) -> str:
    """What became of a file, in words; empty where it is the same."""
    if before is None:
        return f"{name} is new"
    if after is None:
        return f"{name} is missing"
    if before.bytes != after.bytes:
        return f"{name} has {after.bytes:,} bytes and had {before.bytes:,}"
    pieces = (before.pieces_crc32, after.pieces_crc32)
    if before.crc32 != after.crc32 or (None not in pieces and pieces[0] != pieces[1]):
        return f"{name} has other contents of the same length"
    return ""


def _file(path: str, name: str, is_parquet: bool) -> LogFile:
    local = Path(path)
    is_local = local.is_file()
    with open_binary(path) as handle:
        size = handle.seek(0, 2)
        crc32 = _footer(handle, size) if is_parquet else _sum(handle, [0, max(0, size - END_BYTES)])
        places = [size * piece // PIECES for piece in range(PIECES)]
        pieces = _sum(handle, places) if is_local and not is_parquet else None
    return LogFile(name, size, local.stat().st_mtime_ns if is_local else None, crc32, pieces)


def _footer(handle: BinaryIO, size: int) -> int:
    """CRC-32 of a Parquet file's footer; of its end, where it is none."""
    handle.seek(max(0, size - FOOTER_LENGTH))
    end = handle.read(FOOTER_LENGTH)
    length = int.from_bytes(end[:4], "little") if end.endswith(MAGIC) else 0
    handle.seek(max(0, size - FOOTER_LENGTH - length))
    return zlib.crc32(handle.read(length + FOOTER_LENGTH))


def _sum(handle: BinaryIO, places: list[int]) -> int:
    crc32 = 0
    for place in places:
        handle.seek(place)
        crc32 = zlib.crc32(handle.read(END_BYTES), crc32)
    return crc32


def _common_folder(paths: list[str]) -> str:
    """The beginning that all paths have in common, up to a slash.

    >>> _common_folder(["logs/day_0.gz", "logs/day_1.gz"]), _common_folder(["log.tsv"])
    ('logs/', '')
    >>> _common_folder(["s3://b/logs/day=1/a.parquet", "s3://b/logs/day=2/a.parquet"])
    's3://b/logs/'
    """
    first, last = min(paths), max(paths)
    shared = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return first[: first.rfind("/", 0, shared) + 1]
