"""One raw file → prepared Parquet files of two million rows each, its malformed lines, its part of the statistics.

Nothing depends on other files but the vocabularies, and nothing of a file counts before its last part is on the disk.
"""

import contextlib
import dataclasses
import functools
import glob
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.formats.features import category_rows, label_values, number_feature
from pipeline.data.formats.lists import kept_values, list_ids, lists_of_ids
from pipeline.data.formats.prepared import (
    FILE_ROWS,
    ROW_GROUP_ROWS,
    TIME_COLUMN,
    WRITER_OPTIONS,
    arrow_schema,
    file_name,
)
from pipeline.data.formats.reader import BadLine, write_quarantine
from pipeline.data.formats.text_files import inspect_file
from pipeline.data.formats.text_lines import read_blocks
from pipeline.data.formats.times import times
from pipeline.data.formats.weights import weight_values
from pipeline.data.prepare.statistics import ColumnStatistics, add_up, column_statistics, list_statistics
from pipeline.data.prepare.vocabulary import Resources, VocabularyIndex, category_values, count_values
from pipeline.data.schema import Schema
from pipeline.run.files import atomic_write, sha256, write_json

SHOWN_BAD_LINES = 5
"""Of a file that has too many."""
ENOUGH_LINES = 100_000
"""Before the end of a file its share of bad lines is looked at from here on."""


@dataclasses.dataclass(frozen=True)
class FileTask:
    """One file to prepare."""

    source: str
    """The raw file, wherever it lies."""
    name: str
    """What it is called among the results, without a suffix."""
    folder: Path
    """Of the results."""
    schema: Schema
    """With the sizes that the tables really have (while counting: may have)."""
    vocabulary: bool
    """Number the categories by the vocabularies in `work/index`; else by hashing."""
    max_bad_rows: float
    """Largest share of malformed lines."""

    def target(self, number: int) -> Path:
        """The prepared file of its rows from number * FILE_ROWS on."""
        return self.folder / f"{self.name}-{number:05}.parquet"

    @property
    def counts(self) -> Path:
        """The counts of its categories; there once it is counted."""
        return self.folder / "work" / "counts" / f"{self.name}.parquet"

    @property
    def part(self) -> Path:
        """Its files with their checksums, and its statistics; there once it is prepared."""
        return self.folder / "work" / "parts" / f"{self.name}.json"

    @property
    def quarantine(self) -> Path:
        """Its malformed lines, one JSON object per line."""
        return self.folder / "work" / "quarantine" / f"{self.name}.jsonl"


def index_path(folder: Path, column: str) -> Path:
    """Where a column's vocabulary can be looked up (without the suffixes of its two files)."""
    return folder / "work" / "index" / file_name(column)


def count_file(task: FileTask, resources: Resources) -> str:
    """The first of two passes where a vocabulary numbers the categories: counts their values."""
    remove_leftovers(task.counts)
    remove_leftovers(task.quarantine)
    count_values(_checked_blocks(task, []), task.schema, task.counts, resources)
    return task.name


def prepare_file(task: FileTask) -> str:
    """Writes everything of the file, its part last. What is wrong with the file leaves nothing of it behind."""
    remove_leftovers(task.part)
    remove_leftovers(task.quarantine)
    for leftover in task.folder.glob(f"{glob.escape(task.name)}-[0-9]*.parquet.tmp-*"):
        leftover.unlink(missing_ok=True)
    bad: list[BadLine] = []
    totals: dict[str, Any] = {"rows": 0, "clicks": 0, "columns": {}}
    indices = _indices(task)
    schema = _arrow_schema(task)
    tables = (_prepared(rows, task.schema, schema, indices, totals) for rows in _checked_blocks(task, bad))
    files = _write_files(task, schema, tables)
    if not files:
        raise ValueError(f"{task.source}: holds no rows; remove the file or write it again")
    write_quarantine(task.quarantine, bad)
    write_json(task.part, {"files": files, **totals, "quarantined": len(bad)})
    return task.name


def _arrow_schema(task: FileTask) -> pa.Schema:
    """The prepared file's columns and metadata."""
    measure = inspect_file(task.source, task.schema).times
    return arrow_schema(task.schema, measure, numbering="vocabulary" if task.vocabulary else "hash")


def _write_files(task: FileTask, schema: pa.Schema, tables: Iterator[pa.Table]) -> list[dict[str, Any]]:
    """Name, rows, bytes and checksum of each file; none of them stays if one cannot be written."""
    row_groups = _row_groups(tables)
    files: list[dict[str, Any]] = []
    with contextlib.ExitStack() as undo:
        while (first := next(row_groups, None)) is not None:
            rest = itertools.islice(row_groups, FILE_ROWS // ROW_GROUP_ROWS - 1)
            target, rows = task.target(len(files)), 0
            with atomic_write(target) as handle, pq.ParquetWriter(handle, schema, **WRITER_OPTIONS) as writer:
                for table in itertools.chain([first], rest):
                    writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
                    rows += table.num_rows
            undo.callback(target.unlink)
            files.append({"file": target.name, "rows": rows, "bytes": target.stat().st_size, "sha256": sha256(target)})
        undo.pop_all()
    return files


def remove_leftovers(path: Path) -> None:
    """Removes what a killed writer of the file has left beside it."""
    for leftover in path.parent.glob(f"{path.name}.tmp-*"):
        leftover.unlink(missing_ok=True)


def _indices(task: FileTask) -> dict[str, VocabularyIndex]:
    if not task.vocabulary:
        return {}
    return {column: VocabularyIndex.open(index_path(task.folder, column)) for column in task.schema.categories}


def _checked_blocks(task: FileTask, bad: list[BadLine]) -> Iterator[pa.RecordBatch]:
    """The file's good rows; its malformed lines go to `bad`, and too many are a ValueError that shows the first."""
    lines = 0
    for block in read_blocks(task.source, task.schema):
        bad += block.bad
        lines += block.rows.num_rows + len(block.bad)
        if lines >= ENOUGH_LINES:
            _check_share(task, bad, lines)
        yield block.rows
    _check_share(task, bad, lines)


def _check_share(task: FileTask, bad: list[BadLine], lines: int) -> None:
    if len(bad) <= task.max_bad_rows * lines:
        return
    write_quarantine(task.quarantine, bad)
    shown = "".join(f"\n  line {each.line}: {each.reason}: {each.text[:80]!r}" for each in bad[:SHOWN_BAD_LINES])
    raise ValueError(
        f"{task.source}: {len(bad)} of the first {lines} lines are not rows of schema {task.schema.name!r}, more than "
        f"max_bad_rows = {task.max_bad_rows}; repair them or raise it. They are listed in {task.quarantine}:{shown}"
    )


def _prepared(
    rows: pa.RecordBatch,
    schema: Schema,
    prepared: pa.Schema,
    indices: dict[str, VocabularyIndex],
    totals: dict[str, Any],
) -> pa.Table:
    """The block as model inputs; adds its statistics to the totals."""
    label = label_values(rows.column(schema.label), schema.count_label).astype(np.int8)
    columns = [pa.array(label)]
    found: dict[str, ColumnStatistics] = {}
    for name in schema.numbers:
        columns.append(pa.array(number_feature(rows.column(name), is_float=name in schema.floats)))
        found[name] = column_statistics(rows.column(name))
    for name, size, places in zip(schema.categories, schema.table_sizes, schema.id_places, strict=True):
        raw, hour = rows.column(name), name in schema.hours
        if name in schema.lists:
            number = indices[name].rows if indices else functools.partial(category_rows, table_size=size)
            ids, cut_rows = list_ids(raw, places, number)
            columns.append(lists_of_ids(ids))
            found[name] = list_statistics(kept_values(raw, places).values, ids, cut_rows, bool(indices))
            continue
        numbered = indices[name].rows(category_values(raw, hour)) if indices else category_rows(raw, size, hour)
        columns.append(pa.array(numbered))
        found[name] = column_statistics(raw, numbered if indices else None)
    if schema.weight:
        columns.append(pa.array(weight_values(rows.column(schema.weight))))
    if schema.timestamp:
        columns.append(times(rows.column(schema.timestamp), prepared.field(TIME_COLUMN).type))
    totals["rows"] += len(label)
    totals["clicks"] += int(label.sum())
    before = totals["columns"]
    totals["columns"] = {name: add_up([before[name], new]) if before else new for name, new in found.items()}
    return pa.Table.from_arrays(columns, schema=prepared)


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The rows as tables of one row group each, so that the files do not depend on the blocks read; the rest last."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while sum(each.num_rows for each in waiting) >= ROW_GROUP_ROWS:
            together = pa.concat_tables(waiting)
            yield together.slice(0, ROW_GROUP_ROWS).combine_chunks()
            waiting = [together.slice(ROW_GROUP_ROWS)]
    if any(each.num_rows for each in waiting):
        yield pa.concat_tables(waiting).combine_chunks()
