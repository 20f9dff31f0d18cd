"""Raw text as blocks of good rows, with the lines that are not rows set aside: each with its number and what is wrong.

Arrow parses each block at once; only a block that holds a bad line is looked at line by line. A line is good when its
bytes are in order (below) and Arrow alone accepts it, so that it does not matter which lines stand beside it.

The bytes of a line: UTF-8, no NUL, no carriage return, at most MAX_LINE_BYTES, not blank. Files whose first line ends
in CR LF have such line ends throughout; elsewhere the CR would belong to the last value, and the line is bad.
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.data.formats.features import LabelError, label_values
from pipeline.data.formats.text import convert_options, decompressed, line_problem, parse_options, read_header
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import COMPRESSIONS

BLOCK_BYTES = 8 * 2**20
"""Text parsed at once."""
MAX_LINE_BYTES = 2**16
"""No row of a click log comes near it (Criteo's have about 240 bytes)."""
SHOWN_BYTES = 200
"""What is kept of a bad line."""
_PLAIN_INTEGER = re.compile(rb"-?[0-9]{1,18}|")


@dataclasses.dataclass(frozen=True)
class BadLine:
    """A line that is not a row."""

    line: int
    """Its number in the file, from 1; a header counts."""
    reason: str
    """What is wrong with it."""
    text: str
    """Its beginning; bytes that are not UTF-8 as \\xNN."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Some lines of a file, parsed."""

    rows: pa.RecordBatch
    """The good ones: label and integers as int64, categories as int64 or text, empty = null."""
    bad: list[BadLine]
    """The others."""


def read_blocks(path: str, schema: Schema) -> Iterator[Block]:
    """The file's rows and bad lines, in their order. A damaged or empty file or a bad header is a ValueError."""
    header = read_header(path, schema)
    reader = _Reader(schema, header)
    for first_line, lines, overlong in _blocks_of_lines(path, skip=0 if schema.columns else 1):
        yield reader.block(first_line, lines, overlong)


class _Reader:
    """Parses blocks of one file."""

    def __init__(self, schema: Schema, header: list[str]) -> None:
        self.schema, self.header = schema, header
        self.read_options = pa.csv.ReadOptions(block_size=4 * BLOCK_BYTES, column_names=header)
        self.parse_options, self.convert_options = parse_options(schema), convert_options(schema)
        self.places = {name: place for place, name in enumerate(header)}
        numbers = (schema.label, *schema.integers, *schema.integer_ids, *schema.hours)
        self.number_places = [self.places[name] for name in numbers]

    def block(self, first_line: int, contents: bytes, overlong: list[int]) -> Block:
        """The rows of whole lines, the first of which has the number given; `overlong` were cut short."""
        if not overlong and self._bytes_in_order(contents):
            rows = self._parse(contents)
            if rows is not None and rows.num_rows == contents.count(b"\n"):
                return Block(rows, [])
        return self._line_by_line(first_line, contents, set(overlong))

    def _bytes_in_order(self, contents: bytes) -> bool:
        if b"\0" in contents or b"\r" in contents or not _is_utf8(contents):
            return False
        ends = np.flatnonzero(np.frombuffer(contents, np.uint8) == 10)
        return int(np.diff(ends, prepend=-1).max(initial=0)) <= MAX_LINE_BYTES + 1

    def _parse(self, contents: bytes) -> pa.RecordBatch | None:
        """The rows, if Arrow accepts them all."""
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(contents), self.read_options, self.parse_options, self.convert_options
            ).combine_chunks()
            rows = table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], table.schema)
            label_values(rows.column(self.schema.label), self.schema.count_label)
        except (pa.ArrowInvalid, LabelError):
            return None
        return rows

    def _line_by_line(self, first_line: int, contents: bytes, overlong: set[int]) -> Block:
        good, bad = [], []
        for number, line in enumerate(contents.split(b"\n")[:-1], start=first_line):
            reason = (
                "" if self._is_plain_row(line) and number not in overlong else self._problem(line, number in overlong)
            )
            if reason:
                bad.append(BadLine(number, reason, line[:SHOWN_BYTES].decode("utf-8", "backslashreplace")))
            else:
                good.append(line)
        rows = self._parse(b"".join(line + b"\n" for line in good)) if good else self._no_rows()
        assert rows is not None and rows.num_rows == len(good), "Arrow refuses lines together that it accepts alone"
        return Block(rows, bad)

    def _is_plain_row(self, line: bytes) -> bool:
        """Whether the line is surely good: an unquoted row of ASCII with short decimal numbers."""
        if not line.isascii() or len(line) > MAX_LINE_BYTES or b"\0" in line or b"\r" in line or b'"' in line:
            return False
        fields = line.split(self.schema.delimiter.encode())
        if len(fields) != len(self.header) or fields[self.number_places[0]] not in (b"0", b"1"):
            return False
        return all(_PLAIN_INTEGER.fullmatch(fields[place]) for place in self.number_places)

    def _problem(self, line: bytes, overlong: bool) -> str:
        """What is wrong with a line, empty if nothing is."""
        if overlong or len(line) > MAX_LINE_BYTES:
            return f"the line has more than {MAX_LINE_BYTES} bytes"
        for byte, name in ((b"\0", "a NUL byte"), (b"\r", "a carriage return")):
            if byte in line:
                return f"{name} at byte {line.index(byte)} of the line"
        if line and _is_utf8(line):
            rows = self._parse(line + b"\n")
            if rows is not None and rows.num_rows == 1:
                return ""
        return line_problem(line, self.schema, self.header) or "Arrow cannot parse the line"

    def _no_rows(self) -> pa.RecordBatch:
        types = self.convert_options.column_types
        return pa.RecordBatch.from_pylist([], pa.schema([(name, types[name]) for name in self.schema.inputs]))


def _is_utf8(contents: bytes) -> bool:
    if contents.isascii():
        return True
    try:
        contents.decode()
    except UnicodeDecodeError:
        return False
    return True


def _blocks_of_lines(path: str, skip: int) -> Iterator[tuple[int, bytes, list[int]]]:
    """(number of the first line, whole lines each with its \\n, numbers of lines that were cut short), in order.

    Lines without end do not fill the memory: of one longer than a block only the beginning is kept.
    """
    next_line, rest, cut = 1, b"", False  # cut: `rest` is the beginning of a line whose middle was let go
    windows: bool | None = None
    for block in _raw_blocks(path):
        end = block.rfind(b"\n") + 1
        if not end:
            rest, cut = (rest, True) if cut or len(rest) > BLOCK_BYTES else (rest + block, False)
            continue
        if cut:  # only what ends the line is new of it
            block = block[block.index(b"\n") :]
            end = block.rfind(b"\n") + 1
        contents, overlong = rest + block[:end], [next_line] if cut else []
        rest, cut = block[end:], False
        if windows is None:
            windows = contents[: contents.index(b"\n")].endswith(b"\r")
        if windows:
            contents = contents.replace(b"\r\n", b"\n")
        lines = contents.count(b"\n")
        if next_line <= skip:
            contents = contents[contents.index(b"\n") + 1 :]
            yield next_line + 1, contents, overlong
        else:
            yield next_line, contents, overlong
        next_line += lines
    if rest:
        yield next_line, (rest.removesuffix(b"\r") if windows else rest) + b"\n", [next_line] if cut else []


def _raw_blocks(path: str) -> Iterator[bytes]:
    """The decompressed bytes."""
    try:
        with decompressed(path) as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block
    except (pa.ArrowException, OSError) as error:
        kind = COMPRESSIONS.get(Path(path).suffix, "")
        reason = f"the {kind} data are truncated or damaged ({error}); copy the file again" if kind else str(error)
        raise ValueError(f"{path}: {reason}") from error
