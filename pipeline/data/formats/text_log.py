"""Raw text logs as units: blocks of lines, found by one pass that counts them, then parsed whenever they are read.

The lines of a compressed file can be reached only through those before them. So its units are one run, read in their
order by a cursor that stays where it is; starting in the middle costs decompressing what lies before, once.
"""

import functools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from pipeline.data.formats.click_log import Unit
from pipeline.data.formats.features import WORD, LabelError, Rows, decode
from pipeline.data.formats.line_counts import LINE_END, UNIT_BYTES, line_counts
from pipeline.data.formats.text import (
    MAX_LINE_BYTES,
    convert_options,
    damaged,
    decompressed,
    line_problem,
    parse_options,
    read_header,
)
from pipeline.data.memory_pool import POOL, Pool
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import COMPRESSIONS, check_same_columns, locked

PARSED_BYTES = 4 * 2**20
"""Text parsed and decoded at once, within a unit: smaller pieces cost more calls, larger ones leave the cache."""
MAX_CURSORS = 4
"""Open files a log."""
MAX_PASSED = 2
"""Units that a cursor passed and keeps: threads that read neighbours may come in the wrong order."""
_READ_BYTES = 2**20
_LINE_BYTES = 4096
"""Most lines are shorter."""

_SCRATCH = Pool(max_free_bytes=2 * UNIT_BYTES)
"""For the text of a unit and its rows, until they have been put into their order."""

Bytes = npt.NDArray[np.uint8]


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
            counted = list(pool.map(functools.partial(line_counts, schema=schema, folder=folder), files))
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
        self._passed: dict[int, Bytes] = {}
        self._words = True  # until a text of another length is met

    def read(self, unit: int, order: npt.NDArray[np.int64] | None) -> Rows:
        """The unit's rows of the given numbers, in that order; None: all."""
        contents, schema = self._contents(unit), self.schema
        pool = POOL if order is None else _SCRATCH
        rows = Rows.empty(self.units[unit].rows, schema.dense_width, schema.num_categories, pool)
        start = 0
        for piece in self._pieces(unit, contents, list(schema.inputs), words=True):
            stop = start + piece.num_rows
            if stop > len(rows.label):
                raise self._bad_line(unit)
            try:
                decode(piece, schema, rows.part(start, stop))
            except LabelError as error:
                raise self._bad_line(unit) from error
            start = stop
        if start < len(rows.label):
            raise self._bad_line(unit)
        return rows.take(order)

    def columns(self, unit: int, names: list[str]) -> pa.Table:
        """Some raw columns of the unit."""
        pieces = self._pieces(unit, self._contents(unit), names, words=False)
        # Of a column that is not the schema's, Arrow finds the type anew in each piece: whole numbers, then others.
        table = pa.concat_tables((pa.table(piece) for piece in pieces), promote_options="permissive")
        if table.num_rows != self.units[unit].rows:
            raise self._bad_line(unit)
        return table

    def _pieces(self, unit: int, contents: Bytes, names: list[str], words: bool) -> Iterator[pa.RecordBatch]:
        """The unit's lines, parsed some at a time, so that they are decoded while the processor's cache holds them.

        With `words`, texts come as `WORD` where all have 8 bytes; a log in which some have not is asked once.
        """
        for first, last in _line_ranges(contents):
            if last - first > PARSED_BYTES + MAX_LINE_BYTES:  # Arrow's own limit is larger, and says less
                raise self._bad_line(unit)
            options = pa.csv.ReadOptions(
                use_threads=False,
                block_size=last - first + 1,  # one batch
                column_names=self._headers[self.units[unit].path],
                skip_rows=int(not first and not self.units[unit].number and not self.schema.columns),
            )
            lines = contents[first:last]
            is_ascii = int(lines.max()) < 128
            parse = functools.partial(self._parse, pa.py_buffer(lines), options, names)
            table: pa.Table | None = None
            if words and is_ascii and self._words:
                try:
                    table = parse(WORD, check_utf8=False)
                except pa.ArrowInvalid:
                    self._words = False
            try:
                table = parse(pa.string(), check_utf8=not is_ascii) if table is None else table
            except pa.ArrowInvalid as error:
                raise self._bad_line(unit) from error
            yield from table.to_batches()

    def _parse(
        self, lines: pa.Buffer, options: pa.csv.ReadOptions, names: list[str], text: pa.DataType, check_utf8: bool
    ) -> pa.Table:
        conversion = convert_options(self.schema, text)
        conversion.include_columns = names
        conversion.check_utf8 = check_utf8
        return pa.csv.read_csv(lines, options, parse_options(self.schema), conversion)

    def has_column(self, name: str) -> bool:
        """Whether the files hold a column beside the schema's."""
        return name in self._headers[self.units[0].path]

    def _contents(self, unit: int) -> Bytes:
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

    def _keep(self, unit: int, contents: Bytes) -> None:
        self._passed[unit] = contents
        for oldest in list(self._passed)[:-MAX_PASSED]:
            del self._passed[oldest]

    def _bad_line(self, unit: int) -> ValueError:
        """Finds the line that Arrow refused, line by line."""
        path, first_line = self.units[unit].path, self._blocks[unit].first_line
        lines = self._contents(unit).tobytes().removesuffix(b"\n").split(b"\n")
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
        self._file = decompressed(path)

    def read(self, start: int, stop: int) -> Bytes:
        """The bytes start, …, stop - 1, where start is not behind the place."""
        if _is_seekable(self.path):
            self._file.seek(start)
            self.place = start
        while self.place < start:
            self._fill(np.empty(min(_READ_BYTES, start - self.place), np.uint8))
        contents: Bytes = _SCRATCH.array((stop - start,), np.uint8)
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


def _line_ranges(contents: Bytes) -> Iterator[tuple[int, int]]:
    """Whole lines of about PARSED_BYTES: (first byte, one behind the last)."""
    start = 0
    while start < len(contents):
        stop = start + PARSED_BYTES
        while stop < len(contents):  # behind the next end of a line
            ends = np.flatnonzero(contents[stop - 1 : stop + _LINE_BYTES] == LINE_END)
            if len(ends):
                stop += int(ends[0])
                break
            stop += _LINE_BYTES
        yield start, min(stop, len(contents))
        start = stop


def _is_seekable(path: str) -> bool:
    return Path(path).suffix not in COMPRESSIONS
