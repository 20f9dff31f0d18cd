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


def inspect_file(path: str, schema: Schema) -> TextFile:
    """Reads the first line. An empty file, or a header without the schema's columns, is a ValueError."""
    contents = _beginning(path)
    if not contents:
        raise ValueError(f"{path}: the file is empty; remove it or write it again")
    line, end, _ = contents.partition(b"\n")
    crlf = bool(end) and line.endswith(b"\r")
    mark = len(BYTE_ORDER_MARK) if contents.startswith(BYTE_ORDER_MARK) else 0
    if schema.columns:
        return TextFile(path, schema.columns, mark, 1, crlf)
    try:
        names = split_fields(line.removesuffix(b"\r")[mark:].decode(), schema)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}:1: the header is not UTF-8 text; write it again as UTF-8") from error
    for column in schema.inputs:
        if names.count(column) != 1:
            raise ValueError(
                f"{path}:1: the header names column {column!r} {names.count(column)} times, the schema "
                f"{schema.name!r} needs it once; found {names}. Add it, or choose the schema of this file"
            )
    return TextFile(path, tuple(names), len(line) + len(end), 2, crlf)


def first_fields(path: str, schema: Schema) -> list[str]:
    """The columns of the first line: the header, where the schema says that there is one. Damage is a ValueError."""
    line = _beginning(path).removeprefix(BYTE_ORDER_MARK).partition(b"\n")[0].removesuffix(b"\r")
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


def _beginning(path: str) -> bytes:
    """The text up to the end of its first line or further."""
    start = b""
    try:
        with decompressed(path) as stream:
            while b"\n" not in start and len(start) < _FIRST_LINE_BYTES and (block := stream.read(_FIRST_LINE_BYTES)):
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
