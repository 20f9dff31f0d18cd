"""Raw text files (TSV, CSV; plain, .gz, .zst): how they are decompressed, and what their first line says of them."""

import contextlib
import csv
import dataclasses
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
from isal import igzip
from isal.igzip_lib import IsalError

from pipeline.data.formats.times import MEASURES, NUMBER, WHOLE, measure_of_text
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import COMPRESSIONS, open_binary
from pipeline.data.storage.retry import StorageError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""U+FEFF in UTF-8, with which some programs open a file."""
_FIRST_LINE_BYTES = 2**20
"""Looked at for the end of the first line; a file whose first line is longer is taken for one with plain line ends."""


@dataclasses.dataclass(frozen=True)
class TextFile:
    """A raw text file, before its rows are read."""

    path: str
    """Local, or in a store."""
    columns: tuple[str, ...]
    """Every column in order: from the header, or from the schema where files have no header."""
    start: int
    """The byte of the decompressed text at which the first row begins, behind a byte order mark and a header."""
    first_line: int
    """Number of the line of the first row: 2 behind a header, else 1."""
    crlf: bool
    """Whether lines end in CR LF: the first one does."""
    times: pa.DataType | None = None
    """Measure of the schema's timestamp: that of the first time in the file. None without a timestamp."""


def inspect_file(path: str, schema: Schema) -> TextFile:
    """Reads the first line, and of a schema with a timestamp the first row.

    An empty file, a header without the schema's columns, or a beginning without a single time is a ValueError.
    """
    contents = _beginning(path, lines=2 if schema.timestamp else 1)
    if not contents:
        raise ValueError(f"{path}: the file is empty; remove it or write it again")
    line, end, _ = contents.partition(b"\n")
    crlf = bool(end) and line.endswith(b"\r")
    mark = len(BYTE_ORDER_MARK) if contents.startswith(BYTE_ORDER_MARK) else 0
    if schema.columns:
        times = _measure_of_times(path, contents[mark:], 1, schema.columns, schema)
        return TextFile(path, schema.columns, mark, 1, crlf, times)
    try:
        names = split_fields(line.removesuffix(b"\r")[mark:].decode(), schema)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}:1: the header is not UTF-8 text; write it again as UTF-8") from error
    for column in schema.used:
        if names.count(column) != 1:
            raise ValueError(
                f"{path}:1: the header names column {column!r} {names.count(column)} times, the schema "
                f"{schema.name!r} needs it once; found {names}. Add it, or choose the schema of this file"
            )
    start = len(line) + len(end)
    times = _measure_of_times(path, contents[start:], 2, tuple(names), schema)
    return TextFile(path, tuple(names), start, 2, crlf, times)


def check_same_times(file: TextFile, first: TextFile) -> None:
    """Times of one click log have one measure; a ValueError names both files."""
    if file.times is not None and first.times is not None and file.times != first.times:
        raise ValueError(
            f"{file.path}: its times begin with {MEASURES[file.times]}, those of {first.path} with "
            f"{MEASURES[first.times]}; write them the same way"
        )


def _measure_of_times(
    path: str, contents: bytes, first_line: int, columns: tuple[str, ...], schema: Schema
) -> pa.DataType | None:
    """What the timestamp's values are, by its role or else by the first line that has a time."""
    name = schema.timestamp
    if not name or name in schema.floats:
        return NUMBER if name else None
    if name in (*schema.integers, *schema.integer_ids, *schema.hours):
        return WHOLE
    whole_lines = contents[: contents.rfind(b"\n") + 1] or contents
    first: str | None = None
    for line in whole_lines.splitlines():
        try:
            fields = split_fields(line.decode(), schema)
        except (UnicodeDecodeError, csv.Error):
            continue
        if len(fields) == len(columns):
            value = fields[columns.index(name)]
            if measure := measure_of_text(value):
                return measure
            first = value if first is None else first
    if first is not None:
        raise ValueError(
            f"{path}:{first_line}: column {name!r}: found {first!r}, expected a time, and no line behind it has one: "
            "numbers, or ISO-8601 as 2024-05-01T17:03:09; write it so, or name another column as the schema's timestamp"
        )
    return NUMBER  # no line is a row; whoever reads them says so


def first_fields(path: str, schema: Schema) -> list[str]:
    """The columns of the first line: the header, where the schema says that there is one. Damage is a ValueError."""
    line = _beginning(path, lines=1).removeprefix(BYTE_ORDER_MARK).partition(b"\n")[0].removesuffix(b"\r")
    return split_fields(line.decode("utf-8", "backslashreplace"), schema)


def split_fields(line: str, schema: Schema) -> list[str]:
    """The columns of one line."""
    if may_quote(schema):
        return next(csv.reader([line]), [""])
    return line.split(schema.delimiter)


def may_quote(schema: Schema) -> bool:
    """Comma-separated files may quote; in tab-separated click logs a quotation mark is a character like any other."""
    return schema.delimiter == ","


def decompressed(path: str) -> io.BufferedIOBase:
    """The text as a stream of bytes. Damaged or truncated compressed data are an OSError of whoever reads."""
    raw = open_binary(path)
    match COMPRESSIONS.get(Path(path).suffix):
        case None:
            return cast(io.BufferedIOBase, raw)
        case "gzip":
            return _Gunzip(raw)
        case other:
            return cast(io.BufferedIOBase, pa.CompressedInputStream(pa.PythonFile(raw, "r"), other))


class _Gunzip(igzip.IGzipFile):
    """Intel's ISA-L inflates 3 times as fast as zlib, which would take half of the time of a stream of raw text."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__(fileobj=raw, mode="rb")
        self._raw = raw

    def read(self, size: int | None = -1) -> bytes:
        with _damage_as_os_error():
            return super().read(-1 if size is None else size)

    def readinto(self, buffer: Any) -> int:
        with _damage_as_os_error():
            return self._buffer.readinto(buffer)  # gzip's own reads, and copies what it has read

    def close(self) -> None:
        super().close()
        self._raw.close()


@contextlib.contextmanager
def _damage_as_os_error() -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, IsalError) as error:  # type: ignore[misc]  # isal's stubs call it a value
        raise OSError(str(error)) from error


def _beginning(path: str, lines: int) -> bytes:
    """The text up to the end of its first lines or further."""
    start = b""
    try:
        with decompressed(path) as stream:
            while (
                start.count(b"\n") < lines
                and len(start) < _FIRST_LINE_BYTES
                and (block := stream.read(_FIRST_LINE_BYTES))
            ):
                start += block
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    return start


def damaged(path: str, error: Exception) -> Exception:
    """What to raise when a text file cannot be read to its end."""
    if isinstance(error, StorageError):
        return error
    kind = COMPRESSIONS.get(Path(path).suffix, "")
    reason = f"the {kind} data are truncated or damaged ({error}); copy the file again" if kind else str(error)
    return ValueError(f"{path}: {reason}")
