"""Raw text logs as units: blocks of lines, found by one pass that counts them, then parsed whenever they are read.

The lines of a compressed file can be reached only through those before them. So its units are one run, read in their
order by a cursor that stays where it is; starting in the middle costs decompressing what lies before, once.
"""

import functools
import hashlib
import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from pipeline.data.features import LabelError, Rows, decode
from pipeline.data.log import Unit
from pipeline.data.schema import Schema
from pipeline.data.storage import COMPRESSIONS, check_same_columns, file_size, locked
from pipeline.data.text import (
    convert_options,
    damaged,
    decompressed,
    line_problem,
    parse_options,
    read_header,
)
from pipeline.files import read_json, write_json

logger = logging.getLogger(__name__)

UNIT_BYTES = 32 * 2**20
"""Text of a unit: 130,000 rows of Criteo, which are shuffled among each other."""
PARSED_BYTES = 4 * 2**20
"""Text parsed and decoded at once, within a unit; no line may be longer. Larger pieces leave the processor's cache."""
MAX_CURSORS = 4
"""Open files a log."""
MAX_PASSED = 2
"""Units that a cursor passed and keeps: threads that read neighbours may come in the wrong order."""
_READ_BYTES = 2**20
_VERSION = 1


class Block(NamedTuple):
    """A unit's place in its decompressed file."""

    start: int
    """First byte."""
    stop: int
    """One behind the last."""
    first_line: int
    """Number of its first line, from 1."""


class TextLog:
    """Blocks of lines of some text files of one kind, readable by any thread."""

    def __init__(self, files: list[str], schema: Schema, folder: Path) -> None:
        """Counts lines, or finds the counts in `folder`. Bad files are a ValueError with the path."""
        self.schema = schema
        self._headers = {path: read_header(path, schema) for path in files}
        for path, header in self._headers.items():
            check_same_columns(path, header, files[0], self._headers[files[0]])
        with locked(folder), ThreadPoolExecutor(min(len(files), os.cpu_count() or 1)) as pool:
            counted = list(pool.map(functools.partial(_count_once, schema=schema, folder=folder), files))
        self.units: list[Unit] = []
        self._blocks: list[Block] = []
        first_row = run = 0
        for path, stops in zip(files, counted, strict=True):
            start, line = 0, 1
            for number, (stop, rows) in enumerate(stops):
                self.units.append(Unit(path, number, first_row, rows, run))
                self._blocks.append(Block(start, stop, line))
                header_lines = int(not number and not schema.columns)
                start, line, first_row = stop, line + rows + header_lines, first_row + rows
                run += _is_seekable(path)
            run += not _is_seekable(path)
        self._lock = threading.Lock()
        self._cursors: list[_Cursor] = []  # the last used at the end
        self._passed: dict[int, bytes] = {}

    def read(self, unit: int, order: npt.NDArray[np.int64] | None) -> Rows:
        """The unit's rows of the given numbers, in that order; None: all."""
        table = self.columns(unit, list(self.schema.inputs))
        pieces = []
        for batch in table.to_batches():
            try:
                pieces.append(decode(batch, self.schema))
            except LabelError as error:
                raise self._bad_line(unit) from error
        rows = Rows(
            np.concatenate([piece.dense for piece in pieces], axis=1),
            np.concatenate([piece.ids for piece in pieces], axis=1),
            np.concatenate([piece.label for piece in pieces]),
        )
        return rows.take(order)

    def columns(self, unit: int, names: list[str]) -> pa.Table:
        """Some raw columns of the unit."""
        contents, header = self._contents(unit), self._headers[self.units[unit].path]
        skipped = int(not self.units[unit].number and not self.schema.columns)
        options = convert_options(self.schema)
        options.include_columns = names
        options.check_utf8 = not contents.isascii()
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(contents),
                pa.csv.ReadOptions(use_threads=False, block_size=PARSED_BYTES, column_names=header, skip_rows=skipped),
                parse_options(self.schema),
                options,
            )
        except pa.ArrowInvalid as error:
            raise self._bad_line(unit) from error
        if table.num_rows != self.units[unit].rows:
            raise self._bad_line(unit)
        return table

    def has_column(self, name: str) -> bool:
        """Whether the files hold a column beside the schema's."""
        return name in self._headers[self.units[0].path]

    def _contents(self, unit: int) -> bytes:
        """The unit's text. One thread at a time reads; parsing is what takes long."""
        with self._lock:
            if unit in self._passed:
                return self._passed.pop(unit)
            path, (start, stop, _) = self.units[unit].path, self._blocks[unit]
            fitting = [cursor for cursor in self._cursors if cursor.path == path and cursor.place <= start]
            cursor = max(fitting, key=lambda cursor: cursor.place, default=None) or _Cursor(path)
            self._cursors = [other for other in self._cursors if other is not cursor]
            try:
                for passed in range(max(0, unit - MAX_PASSED), unit):
                    if self.units[passed].path == path and self._blocks[passed].start == cursor.place:
                        self._keep(passed, cursor.read(*self._blocks[passed][:2]))
                contents = cursor.read(start, stop)
            except (pa.ArrowException, OSError) as error:
                cursor.close()
                raise damaged(path, error) from error
            self._cursors.append(cursor)
            for oldest in self._cursors[:-MAX_CURSORS]:
                oldest.close()
            self._cursors = self._cursors[-MAX_CURSORS:]
            return contents

    def _keep(self, unit: int, contents: bytes) -> None:
        self._passed[unit] = contents
        for oldest in list(self._passed)[:-MAX_PASSED]:
            del self._passed[oldest]

    def _bad_line(self, unit: int) -> ValueError:
        """Finds the line that Arrow refused, line by line."""
        path, first_line = self.units[unit].path, self._blocks[unit].first_line
        lines = self._contents(unit).removesuffix(b"\n").split(b"\n")
        for number, line in enumerate(lines, start=first_line):
            if number == 1 and not self.schema.columns:
                continue
            if problem := line_problem(line.removesuffix(b"\r"), self.schema, self._headers[path]):
                return ValueError(f"{path}:{number}: {problem}; repair or remove the line")
        return ValueError(f"{path}: lines {first_line} to {first_line + len(lines) - 1} cannot be parsed; repair them")


class _Cursor:
    """A place in a file, decompressed."""

    def __init__(self, path: str) -> None:
        self.path, self.place = path, 0
        self._file: BinaryIO = decompressed(path)

    def read(self, start: int, stop: int) -> bytes:
        """The bytes start, …, stop - 1, where start is not behind the place."""
        if _is_seekable(self.path):
            self._file.seek(start)
            self.place = start
        while self.place < start:
            self.place += len(self._read(min(_READ_BYTES, start - self.place)))
        pieces = []
        while self.place < stop:
            pieces.append(self._read(min(_READ_BYTES, stop - self.place)))
            self.place += len(pieces[-1])
        return b"".join(pieces)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _read(self, size: int) -> bytes:
        piece = self._file.read(size)
        if not piece:
            raise OSError("the file has become shorter")
        return piece


def _is_seekable(path: str) -> bool:
    return Path(path).suffix not in COMPRESSIONS


def _count_once(path: str, schema: Schema, folder: Path) -> list[tuple[int, int]]:
    """`_count`, remembered in the folder as long as the file stays the same."""
    local = Path(path)
    source: dict[str, Any] = {
        "version": _VERSION,
        "path": str(local.absolute()) if local.exists() else path,
        "bytes": file_size(path),
        "modified_ns": local.stat().st_mtime_ns if local.exists() else None,
        "header": not schema.columns,
        "unit_bytes": UNIT_BYTES,
    }
    key = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:16]
    remembered = folder / f"{key}.json"
    if remembered.exists():
        found = read_json(remembered)
        if found["source"] == source:
            return [(stop, rows) for stop, rows in found["units"]]
    logger.info("counting the lines of %s", path)
    units = _count(path, header=not schema.columns)
    write_json(remembered, {"source": source, "units": units})
    return units


def _count(path: str, header: bool) -> list[tuple[int, int]]:
    """Where each unit of the decompressed file stops, at the end of a line, and its rows."""
    units: list[tuple[int, int]] = []
    place = rows = line_end = 0  # of the unit being filled; line_end: behind its last whole line
    start, last = 0, b"\n"
    try:
        with decompressed(path) as stream:
            while block := stream.read(_READ_BYTES):
                end = block.rfind(b"\n") + 1
                if end:
                    rows += block.count(b"\n")
                    line_end = place + end
                    if line_end - start >= UNIT_BYTES:
                        units.append((line_end, rows))
                        start, rows = line_end, 0
                place, last = place + len(block), block[-1:]
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    if rows or place > line_end:
        units.append((place, rows + (last != b"\n")))
    if units and header:
        units[0] = (units[0][0], units[0][1] - 1)
    units = [unit for unit in units if unit[1]]
    if not units:
        raise ValueError(f"{path}: holds no rows; remove the file or write it again")
    return units
