"""The units of a text file: blocks of lines, found by one pass over it, and its bad lines, found by another if wanted.

What a pass finds is remembered as long as the file stays the same.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.data.formats.reader import BadLine, check_bad_lines
from pipeline.data.formats.text_files import TextFile, damaged, decompressed
from pipeline.data.formats.text_lines import MAX_LINE_BYTES, LineParser
from pipeline.data.memory_pool import Pool
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import COMPRESSIONS, file_size
from pipeline.run.files import read_json, write_json

logger = logging.getLogger(__name__)

UNIT_BYTES = 32 * 2**20
"""Text of a unit: 130,000 rows of Criteo, which are shuffled among each other."""
PARSED_BYTES = 4 * 2**20
"""Text parsed and decoded at once, within a unit: smaller pieces cost more calls, larger ones leave the cache."""
_COUNTED_BYTES = 2**18
"""Stays in the processor's cache."""
_READ_BYTES = 2**20
_LINE_BYTES = 4096
"""Most lines are shorter."""
_LINE_END = ord("\n")
_VERSION = 2

SCRATCH = Pool(max_free_bytes=2 * UNIT_BYTES)
"""For the text of a unit and its rows, until they have been put into their order."""

Bytes = npt.NDArray[np.uint8]


class Block(NamedTuple):
    """A unit's place in its decompressed file."""

    start: int
    """First byte."""
    stop: int
    """One behind the last, at the end of a line or of the file."""
    first_line: int
    """Number of its first line, from 1."""
    lines: int
    """1 or more; bad ones count."""


class MarkedLine(NamedTuple):
    """A bad line and its place in the decompressed file."""

    start: int
    """First byte."""
    stop: int
    """One behind the last, which is its line end unless the file ends without one."""
    bad_line: BadLine
    """What is wrong."""


def find_blocks(file: TextFile, folder: Path) -> list[Block]:
    """The units of a file. The folder remembers them. A cut or empty file is a ValueError."""
    source = {**_identity(file), "first_byte": file.start, "unit_bytes": UNIT_BYTES}
    remembered = _Memory(folder, "blocks", source)
    found = remembered.recall()
    if found is None:
        logger.info("counting the lines of %s", file.path)
        found = remembered.keep([list(block) for block in _count_lines(file)])
    return [Block(*block) for block in found]


def find_bad_lines(
    file: TextFile, schema: Schema, blocks: list[Block], folder: Path, max_bad_rows: int
) -> list[MarkedLine]:
    """The lines of a file that are not rows, by parsing it once. The folder remembers them.

    More than `max_bad_rows` of them are a ValueError, which ends the pass.
    """
    schema_of_rows = {**schema.to_json(), "table_sizes": None}  # the sizes decide nothing here
    source = {**_identity(file), "schema": schema_of_rows, "max_line_bytes": MAX_LINE_BYTES}
    remembered = _Memory(folder, "bad lines", source)
    found = remembered.recall()
    if found is None:
        logger.info("looking for bad lines in %s", file.path)
        marked = _mark_bad_lines(file, schema, blocks, max_bad_rows)
        found = remembered.keep([[start, stop, dataclasses.asdict(bad_line)] for start, stop, bad_line in marked])
    bad_lines = [MarkedLine(start, stop, BadLine(**bad_line)) for start, stop, bad_line in found]
    check_bad_lines([marked.bad_line for marked in bad_lines], max_bad_rows)
    return bad_lines


class _Memory:
    """What is known of a file, as JSON; forgotten when the file or anything else in `source` changes."""

    def __init__(self, folder: Path, what: str, source: dict[str, Any]) -> None:
        self._source = {"what": what, **source}
        key = hashlib.sha256(json.dumps(self._source, sort_keys=True).encode()).hexdigest()[:16]
        self._path = folder / f"{key}.json"

    def recall(self) -> list[list[Any]] | None:
        """What was kept; None if nothing was."""
        kept = read_json(self._path) if self._path.exists() else {}
        return kept["found"] if kept.get("source") == self._source else None

    def keep(self, found: list[list[Any]]) -> list[list[Any]]:
        """Writes it, and returns it."""
        write_json(self._path, {"source": self._source, "found": found})
        return found


def _identity(file: TextFile) -> dict[str, Any]:
    local = Path(file.path)
    return {
        "version": _VERSION,
        "path": str(local.absolute()) if local.exists() else file.path,
        "bytes": file_size(file.path),
        "modified_ns": local.stat().st_mtime_ns if local.exists() else None,
    }


def _count_lines(file: TextFile) -> list[Block]:
    """A unit ends with the first line that ends UNIT_BYTES or more behind the unit's first byte.

    Units are cut from byte 0 on, so that a header belongs to the first; it is taken off afterwards.
    """
    units: list[tuple[int, int]] = []  # (one behind the last byte, lines)
    place = start = lines = 0  # of the unit being filled: its first byte and its lines so far
    block, last = np.empty(_COUNTED_BYTES, np.uint8), _LINE_END
    try:
        with decompressed(file.path) as stream:
            while size := stream.readinto(memoryview(block)):  # type: ignore[arg-type]  # numpy's stubs
                is_end = block[:size] == _LINE_END
                if place + size < start + UNIT_BYTES:  # as nearly always
                    lines += int(np.count_nonzero(is_end))
                else:
                    stops = place + 1 + np.flatnonzero(is_end)  # behind each line
                    counted = 0
                    while (cut := int(np.searchsorted(stops, start + UNIT_BYTES))) < len(stops):
                        units.append((int(stops[cut]), lines + cut + 1 - counted))
                        start, lines, counted = int(stops[cut]), 0, cut + 1
                    lines += len(stops) - counted
                place, last = place + size, int(block[size - 1])
    except (pa.ArrowException, OSError) as error:
        raise damaged(file.path, error) from error
    if place > start:
        units.append((place, lines + (last != _LINE_END)))
    return _without_header(file, units)


def _without_header(file: TextFile, units: list[tuple[int, int]]) -> list[Block]:
    if file.start and units:
        units[0] = (units[0][0], units[0][1] - (file.first_line - 1))
    blocks: list[Block] = []
    start, first_line = file.start, file.first_line
    for stop, lines in units:
        if lines and stop > start:
            blocks.append(Block(start, stop, first_line, lines))
            start, first_line = stop, first_line + lines
    if not blocks:
        raise ValueError(f"{file.path}: holds no rows; remove the file or write it again")
    return blocks


def _mark_bad_lines(file: TextFile, schema: Schema, blocks: list[Block], max_bad_rows: int) -> list[MarkedLine]:
    parser, cursor = LineParser(file, schema, use_threads=False), Cursor(file.path)
    marked: list[MarkedLine] = []
    try:
        for block in blocks:
            contents, first_line = cursor.read(block), block.first_line
            for first, last in line_ranges(contents):
                lines = contents[first:last].tobytes()
                rows = parser.parse(lines, words=True)
                if rows is None:
                    separated = parser.separate(lines, first_line)
                    marked += _places(lines, block.start + first, first_line, block.stop, separated.bad)
                    check_bad_lines([each.bad_line for each in marked], max_bad_rows)
                    rows_and_bad = separated.rows.num_rows + len(separated.bad)
                else:
                    rows_and_bad = rows.num_rows
                first_line += rows_and_bad
    except (pa.ArrowException, OSError) as error:
        raise damaged(file.path, error) from error
    finally:
        cursor.close()
    return marked


def _places(
    lines: bytes, start: int, first_line: int, block_stop: int, bad_lines: list[BadLine]
) -> Iterator[MarkedLine]:
    """Where the bad ones among the lines lie; a line without an end extends to the end of the block."""
    ends = start + 1 + np.flatnonzero(np.frombuffer(lines, np.uint8) == _LINE_END)
    for bad_line in bad_lines:
        index = bad_line.line - first_line
        first = int(ends[index - 1]) if index else start
        yield MarkedLine(first, int(ends[index]) if index < len(ends) else block_stop, bad_line)


class Cursor:
    """A place in a file, decompressed."""

    def __init__(self, path: str) -> None:
        self.path, self.place = path, 0
        self._file = decompressed(path)

    def read(self, block: Block) -> Bytes:
        """The text of a block that does not begin before the place.

        If its last line is longer than any row, only so much of it that this shows.
        """
        if is_seekable(self.path):
            self._file.seek(block.start)
            self.place = block.start
        while self.place < block.start:
            self._fill(np.empty(min(_READ_BYTES, block.start - self.place), np.uint8))
        size = min(block.stop - block.start, UNIT_BYTES + MAX_LINE_BYTES + len("\r\n") + 1)
        contents: Bytes = SCRATCH.array((size,), np.uint8)
        self._fill(contents)
        return contents

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _fill(self, contents: Bytes) -> None:
        """The next bytes."""
        rest = memoryview(contents)  # type: ignore[arg-type]  # numpy's stubs
        while len(rest):
            count = self._file.readinto(rest[:_READ_BYTES])
            if not count:
                raise OSError("the file has become shorter")
            rest = rest[count:]
            self.place += count


def line_ranges(contents: Bytes) -> Iterator[tuple[int, int]]:
    """Whole lines of about PARSED_BYTES: (first byte, one behind the last)."""
    start = 0
    while start < len(contents):
        stop = start + PARSED_BYTES
        while stop < len(contents):  # behind the next end of a line
            ends = np.flatnonzero(contents[stop - 1 : stop + _LINE_BYTES] == _LINE_END)
            if len(ends):
                stop += int(ends[0])
                break
            stop += _LINE_BYTES
        yield start, min(stop, len(contents))
        start = stop


def is_seekable(path: str) -> bool:
    """Whether any line can be reached at once."""
    return Path(path).suffix not in COMPRESSIONS
