"""Raw text (TSV, CSV; plain, .gz, .zst): units are blocks of lines, found by counting, then parsed when they are read.

The lines of a compressed file can be reached only through those before them. So its units are one sequence, read in
their order by a cursor that stays where it is; starting in the middle costs decompressing what lies before, once.

A line that is not a row ends the reading, with its number. If some bad lines may be set aside, all are looked for when
the files are opened, by parsing them once more, and units then hold the other lines only: so every rank, epoch and
resumed run sees the same rows under the same numbers.

The other files of this format: text_files.py (decompression, header), text_lines.py (which lines are rows),
text_units.py (where units and bad lines are).
"""

import functools
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.data.formats.features import NO_LOOKUPS, Lookup, Rows, decode
from pipeline.data.formats.reader import BadLine, Format, Unit
from pipeline.data.formats.text_files import check_same_times, damaged, inspect_file
from pipeline.data.formats.text_lines import LineParser
from pipeline.data.formats.text_units import (
    SCRATCH,
    Block,
    Bytes,
    Cursor,
    MarkedLine,
    find_bad_lines,
    find_blocks,
    is_seekable,
    line_ranges,
)
from pipeline.data.formats.times import times
from pipeline.data.memory_pool import POOL
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import COMPRESSIONS, check_same_columns, locked

MAX_CURSORS = 4
"""Files open at once."""
MAX_PASSED = 2
"""Units that a cursor passed and keeps: threads that read neighbours may come in the wrong order."""
_SUFFIXES = ("", ".tsv", ".csv", ".txt", ".log")


class TextReader:
    """Some text files of one kind, read in blocks of lines by any thread."""

    prepared = None

    def __init__(self, paths: list[str], schema: Schema, folder: Path, max_bad_rows: int = 0) -> None:
        """Counts lines, or finds the counts in `folder`. Bad files are a ValueError with the path."""
        self.schema = schema
        self._lookups = NO_LOOKUPS
        files = [inspect_file(path, schema) for path in paths]
        for file in files:
            check_same_columns(file.path, list(file.columns), files[0].path, list(files[0].columns))
            check_same_times(file, files[0])
        self._columns, self._times = files[0].columns, files[0].times
        self._parsers = {file.path: LineParser(file, schema, use_threads=False) for file in files}
        with locked(folder), ThreadPoolExecutor(min(len(files), os.cpu_count() or 1)) as pool:
            blocks = list(pool.map(functools.partial(find_blocks, folder=folder), files))
            find = functools.partial(find_bad_lines, schema=schema, folder=folder, max_bad_rows=max_bad_rows)
            bad = list(pool.map(lambda file, own: find(file, blocks=own), files, blocks)) if max_bad_rows else []
        self.bad_lines: list[BadLine] = [each.bad_line for of_file in bad for each in of_file]
        self._are_lines_checked = bool(bad)
        self.units: list[Unit] = []
        self._blocks: list[Block] = []
        self._bad: list[list[MarkedLine]] = []  # of each unit
        for place, path in enumerate(paths):
            self._add_units(path, blocks[place], bad[place] if bad else [])
        self._lock = threading.Lock()
        self._cursors: list[Cursor] = []  # the last used at the end
        self._passed: dict[int, Bytes] = {}

    def _add_units(self, path: str, blocks: list[Block], bad: list[MarkedLine]) -> None:
        sequence = self.units[-1].sequence + 1 if self.units else 0
        first_row = self.units[-1].first_row + self.units[-1].rows if self.units else 0
        rows_before = first_row
        for number, block in enumerate(blocks):
            bad_of_block = [each for each in bad if block.start <= each.start < block.stop]
            if rows := block.lines - len(bad_of_block):
                self.units.append(Unit(path, number, first_row, rows, sequence))
                self._blocks.append(block)
                self._bad.append(bad_of_block)
                first_row += rows
                sequence += is_seekable(path)
        if first_row == rows_before:
            raise ValueError(f"{path}: holds no rows; remove the file or write it again")

    def number(self, schema: Schema, lookups: Mapping[str, Lookup]) -> None:
        """Number the categories by `lookups` from now on, into the tables of `schema`."""
        self.schema, self._lookups = schema, lookups

    def read(self, unit: int, order: npt.NDArray[np.int64] | None) -> Rows:
        """The rows of the unit with the given numbers, in that order; None: all."""
        schema, pool = self.schema, POOL if order is None else SCRATCH
        rows = Rows.empty(self.units[unit].rows, schema.dense_width, schema.num_ids, pool, bool(schema.weight))
        start = 0
        for piece in self._pieces(unit, list(schema.inputs), words=True):
            stop = start + piece.num_rows
            if stop > len(rows.label):
                raise self._changed(unit)
            decode(piece, schema, rows.part(start, stop), self._lookups)
            start = stop
        if start < len(rows.label):
            raise self._changed(unit)
        return rows.take(order)

    def columns(self, unit: int, names: list[str]) -> pa.Table:
        """Some columns of the unit as they are stored."""
        # Of a column that is not the schema's, Arrow finds the type anew in each piece: whole numbers, then others.
        pieces = (pa.table(piece) for piece in self._pieces(unit, names, words=False))
        table = pa.concat_tables(pieces, promote_options="permissive")
        if table.num_rows != self.units[unit].rows:
            raise self._changed(unit)
        return table

    def times(self, unit: int) -> pa.Array:
        """When the unit's rows were logged; parsing refuses lines without a time."""
        name = self.schema.timestamp
        return times(self.columns(unit, [name])[name].combine_chunks(), self._times)

    def has_column(self, name: str) -> bool:
        """Whether the files hold a column, be it one of the schema's or not."""
        return name in self._columns

    def _pieces(self, unit: int, names: list[str], words: bool) -> Iterator[pa.RecordBatch]:
        """The unit's lines, parsed some at a time, so that they are decoded while the processor's cache holds them."""
        path, block = self.units[unit].path, self._blocks[unit]
        contents = _without(self._contents(unit), block.start, self._bad[unit])
        for first, last in line_ranges(contents):
            lines = contents[first:last].tobytes()
            rows = self._parsers[path].parse(lines, names, words)
            if rows is None and not self._are_lines_checked:
                first_line = block.first_line + contents[:first].tobytes().count(b"\n")
                raise self._bad_line(path, lines, first_line)
            if rows is None:
                raise self._changed(unit)
            yield rows

    def _bad_line(self, path: str, lines: bytes, first_line: int) -> ValueError:
        """Names the first line that is not a row."""
        bad_line = self._parsers[path].separate(lines, first_line).bad[0]
        return ValueError(f"{bad_line}; repair or remove the line, or let data.max_bad_rows set such lines aside")

    def _changed(self, unit: int) -> ValueError:
        path = self.units[unit].path
        return ValueError(f"{path}: has changed since its lines were counted; leave it as it is, and start again")

    def _contents(self, unit: int) -> Bytes:
        """The unit's text. One thread at a time reads; parsing is what takes long."""
        with self._lock:
            if unit in self._passed:
                return self._passed.pop(unit)
            path, block = self.units[unit].path, self._blocks[unit]
            fitting = [cursor for cursor in self._cursors if cursor.path == path and cursor.place <= block.start]
            cursor = max(fitting, key=lambda cursor: cursor.place, default=None) or Cursor(path)
            self._cursors = [other for other in self._cursors if other is not cursor]
            try:
                for passed in range(max(0, unit - MAX_PASSED), unit):
                    if self.units[passed].path == path and self._blocks[passed].start == cursor.place:
                        self._keep(passed, cursor.read(self._blocks[passed]))
                contents = cursor.read(block)
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


def _without(contents: Bytes, start: int, bad: list[MarkedLine]) -> Bytes:
    """The text of a unit that starts at byte `start` of its file, but for the bad lines."""
    if not bad:
        return contents
    stops = [0, *(line.stop - start for line in bad)]
    starts = [*(line.start - start for line in bad), len(contents)]
    return np.concatenate([contents[first:last] for first, last in zip(stops, starts, strict=True)])


def _recognizes(path: str) -> bool:
    name = Path(path)
    name = name.with_suffix("") if name.suffix in COMPRESSIONS else name
    return name.suffix.lower() in _SUFFIXES


def _cannot_infer(files: list[str], path: str, max_table_rows: int) -> Schema:
    raise ValueError(
        f"data.schema is empty and {path!r} holds text, which does not say what its columns mean; give "
        "data.schema (criteo, avazu, kdd2012 or a JSON file), put schema.json into the folder, or have one proposed: "
        f"python -m pipeline.data.describe --path {path} --write schema.json"
    )


TEXT = Format("text", _recognizes, lambda path: None, _cannot_infer, TextReader)
"""The raw text format."""
