"""Raw text logs (TSV, CSV; plain, .gz, .zst): how they unpack, how Arrow parses them, and what is wrong with a line.

Arrow parses; only when it refuses, or a label is bad, its lines are looked at one by one.
"""

import contextlib
import csv
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv
from isal import igzip
from isal.igzip_lib import IsalError

from pipeline.data.schema import Schema
from pipeline.data.storage.paths import COMPRESSIONS, open_binary
from pipeline.data.storage.remote import StorageError

MAX_LINE_BYTES = 8 * 2**20
"""A longer line is no row. (Criteo's have about 240 bytes.)"""
_TEXT = pa.string()
_INTEGER = re.compile(r"[+-]?\d{1,19}")


def read_header(path: str, schema: Schema) -> list[str]:
    """The columns in their order: the schema's where files have no header, else the first line's, checked."""
    first = _first_line(path)
    if first is None:
        raise ValueError(f"{path}: the file is empty; remove it or write it again")
    if schema.columns:
        return list(schema.columns)
    try:
        names = _fields(first.decode("utf-8-sig"), schema)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}:1: the header is not UTF-8 text; write it again as UTF-8") from error
    for column in schema.inputs:
        if names.count(column) != 1:
            raise ValueError(
                f"{path}:1: the header names column {column!r} {names.count(column)} times, the schema "
                f"{schema.name!r} needs it once; found {names}. Add it, or choose the schema of this file"
            )
    return names


def parse_options(schema: Schema) -> pa.csv.ParseOptions:
    """How Arrow cuts lines into columns."""
    quote: str | bool = '"' if _is_quoted(schema) else False
    return pa.csv.ParseOptions(delimiter=schema.delimiter, quote_char=quote, ignore_empty_lines=False)


def convert_options(schema: Schema, text: pa.DataType = _TEXT) -> pa.csv.ConvertOptions:
    """What Arrow makes of the columns: label and numbers int64, the others `text`, nothing = null."""
    numbers = (schema.label, *schema.integers, *schema.integer_ids, *schema.hours)
    return pa.csv.ConvertOptions(
        include_columns=list(schema.inputs),
        column_types={name: pa.int64() if name in numbers else text for name in schema.inputs},
        null_values=[""],
        strings_can_be_null=True,
    )


def _is_quoted(schema: Schema) -> bool:
    """Comma-separated files may quote; in tab-separated logs a quote is a character like any other."""
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


def _first_line(path: str) -> bytes | None:
    """Without its end; None of an empty file."""
    start = b""
    try:
        with decompressed(path) as stream:
            while b"\n" not in start and (block := stream.read(1 << 20)):
                start += block
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    return start.split(b"\n", 1)[0].removesuffix(b"\r") if start else None


def damaged(path: str, error: Exception) -> Exception:
    """What to raise when a text file cannot be read to its end."""
    if isinstance(error, StorageError):
        return error
    kind = COMPRESSIONS.get(Path(path).suffix, "")
    reason = f"the {kind} data are truncated or damaged ({error}); copy the file again" if kind else str(error)
    return ValueError(f"{path}: {reason}")


def line_problem(line: bytes, schema: Schema, header: list[str]) -> str | None:
    """What is wrong with a line, if anything is.

    >>> schema = Schema("shop", "bought", ("price",), ("item",), (50,), columns=("bought", "price", "item"))
    >>> line_problem(b"1\\tx\\tpen", schema, list(schema.columns))
    "column 'price': found 'x', expected a whole number or nothing"
    """
    if len(line) > MAX_LINE_BYTES:
        return f"the line has {len(line)} bytes, more than {MAX_LINE_BYTES}"
    try:
        fields = _fields(line.decode("utf-8"), schema)
    except UnicodeDecodeError as error:
        return f"not UTF-8 text at byte {error.start} of the line: {line[error.start : error.start + 4]!r}"
    if not line:
        return f"the line is blank, expected {len(header)} columns"
    if len(fields) != len(header):
        return f"found {len(fields)} columns, expected {len(header)}"
    values = dict(zip(header, fields, strict=True))
    for column in (*schema.integers, *schema.integer_ids, *schema.hours):
        if values[column] and not _is_int64(values[column]):
            return f"column {column!r}: found {values[column]!r}, expected a whole number or nothing"
    label = values[schema.label]
    is_label = label in ("0", "1") or (schema.count_label and _is_int64(label) and int(label) >= 0)
    expected = "a number of clicks" if schema.count_label else "0 or 1"
    return None if is_label else f"column {schema.label!r}: found {label!r}, expected {expected}"


def _fields(line: str, schema: Schema) -> list[str]:
    if _is_quoted(schema):
        return next(csv.reader([line]), [""])
    return line.split(schema.delimiter)


def _is_int64(text: str) -> bool:
    return _INTEGER.fullmatch(text.strip()) is not None and -(2**63) <= int(text) < 2**63
