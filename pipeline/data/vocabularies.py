"""The vocabularies of a raw log: its training values counted once, kept in the run's data folder and found again.

<folder>/vocabulary/<column>.parquet        value, count and row of each value, as `prepare` writes them
<folder>/vocabulary/index/<column>.*.npy    the same for looking rows up
<folder>/vocabulary/sizes.json              what was counted, and how many values there are; written last

Row 0 is missing, row 1 every value that training rows hold too seldom or never, then a row each by falling count. Only
training rows are counted: a value that only validation or test rows hold is unknown, as it will be to a server.
"""

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.data.config import DataConfig
from pipeline.data.formats.features import Lookup
from pipeline.data.formats.lists import is_list
from pipeline.data.formats.prepared import file_name
from pipeline.data.prepare.vocabulary import (
    FIRST_ROW,
    Resources,
    VocabularyIndex,
    category_values,
    count_values,
    database,
    merge_counts,
)
from pipeline.data.schema import Schema
from pipeline.data.splits import Split
from pipeline.data.storage.paths import file_size, locked
from pipeline.run.files import read_json, write_json

MAX_COUNTED_ROWS = 5_000_000
"""Rows, in all splits together, of the largest log that data.numbering auto counts: its text is parsed once more, some
seconds per million rows. A larger one is better prepared (`python -m pipeline.data.prepare --numbering vocabulary`)."""
MOST_UNCOUNTED = 20_000
"""Rows of a table up to which whole numbers stay as they are: a longer range is mostly numbers that never occur."""
FOLDER = "vocabulary"
"""Under the run's data folder."""
MEMORY_BYTES = 1 << 30
"""What counting may use; beyond it, it spills."""


@dataclasses.dataclass(frozen=True)
class Vocabularies:
    """The vocabularies of some categories."""

    schema: Schema
    """The log's; the tables of these categories have a row for every value."""
    full_schema: Schema
    """The same without data.max_table_rows."""
    lookups: Mapping[str, Lookup]
    """By category: values → table rows."""


def vocabulary_columns(config: DataConfig, schema: Schema, splits: Mapping[str, Split]) -> tuple[str, ...]:
    """The categories to number by a vocabulary; `schema` has its tables uncapped.

    Raises ValueError for a setting that would be ignored.
    """
    if splits["train"].reader.prepared is not None:
        if config.numbering != "auto" or config.min_count != 1:
            raise ValueError(
                f"data.numbering is {config.numbering} and data.min_count {config.min_count}, but {config.path!r} is "
                "prepared, its categories numbered already; leave both out, or prepare the raw log again"
            )
        return ()
    if config.numbering != "auto":
        return schema.categories if config.numbering == "vocabulary" else ()
    rows = sum(int(split.counts.sum()) for split in splits.values())
    limit = min(config.max_table_rows, MOST_UNCOUNTED)
    chosen = _merged(schema, limit) if rows <= MAX_COUNTED_ROWS else ()
    if not chosen and config.min_count != 1:
        raise ValueError(
            f"data.min_count is {config.min_count}, but {config.path!r} ({rows:,} rows) is not numbered by a "
            "vocabulary; give data.numbering vocabulary too, or leave it out"
        )
    return chosen


def _merged(schema: Schema, most_rows: int) -> tuple[str, ...]:
    """The categories that would have several values in one table row, or rows that no value has: text, which is hashed,
    and whole numbers whose table would have more than so many rows. Other whole numbers stay as they are."""
    sizes = dict(zip(schema.categories, schema.table_sizes, strict=True))
    as_they_are = {*schema.hours, *(column for column in schema.integer_ids if sizes[column] <= most_rows)}
    return tuple(column for column in schema.categories if column not in as_they_are)


def open_vocabularies(
    train: Split, schema: Schema, columns: tuple[str, ...], config: DataConfig, home: Path
) -> Vocabularies:
    """The vocabularies of some categories, counted now unless the folder has them. One process at a time counts."""
    folder = home / FOLDER
    settings = {**settings_of(train, schema, config), "columns": list(columns)}
    with locked(folder):
        found = read_json(folder / "sizes.json") if (folder / "sizes.json").exists() else {}
        if found.get("settings") != settings:
            (folder / "sizes.json").unlink(missing_ok=True)  # the files are replaced before it is there again
            found = {
                "settings": settings,
                **_count(train, schema.with_categories(columns, (2,) * len(columns)), config, folder),
            }
            write_json(folder / "sizes.json", found)
        indices = {column: VocabularyIndex.open(index_path(folder, column)) for column in columns}
    return Vocabularies(
        with_sizes(schema.with_max_rows(config.max_table_rows), columns, found["kept"]),
        with_sizes(schema, columns, found["frequent"]),
        {column: functools.partial(vocabulary_rows, indices[column], column in schema.hours) for column in columns},
    )


def with_sizes(schema: Schema, columns: tuple[str, ...], values: list[int]) -> Schema:
    """The schema with a table row for each of so many values of some categories, beside missing and unknown ones."""
    sizes = dict(zip(schema.categories, schema.table_sizes, strict=True))
    sizes |= {column: FIRST_ROW + count for column, count in zip(columns, values, strict=True)}
    return dataclasses.replace(schema, table_sizes=tuple(sizes.values()))


def settings_of(train: Split, schema: Schema, config: DataConfig) -> dict[str, Any]:
    """What the vocabularies depend on, as plain JSON values."""
    paths = sorted({unit.path for unit in train.reader.units})
    how_to_read = ("read_ahead_mb", "read_threads", "numbering")
    return {
        "data": {name: value for name, value in dataclasses.asdict(config).items() if name not in how_to_read},
        "schema": schema.to_json(),
        "files": [[path, file_size(path)] for path in paths],
        "rows": int(train.counts.sum()),
    }


def _count(train: Split, schema: Schema, config: DataConfig, folder: Path) -> dict[str, list[int]]:
    """Writes the vocabularies; how many values of each category are frequent enough, and how many were kept."""
    (folder / "index").mkdir(exist_ok=True)
    counts = folder / "counts.parquet"
    resources = Resources(MEMORY_BYTES, os.cpu_count() or 1, folder / "spill")
    count_values(training_values(train, schema), schema, counts, resources)
    kept = []
    with database(resources) as connection:
        query = 'SELECT "column", count(*) FROM read_parquet($file) WHERE "count" >= $least GROUP BY ALL'
        parameters = {"file": str(counts), "least": config.min_count}
        frequent: dict[int, int] = dict(connection.execute(query, parameters).fetchall())
        for number, column in enumerate(schema.categories):
            size = merge_counts(
                connection,
                [counts],
                column=number,
                whole_numbers=column in (*schema.integer_ids, *schema.hours),
                min_count=config.min_count,
                max_table_rows=max(config.max_table_rows, FIRST_ROW),
                target=folder / f"{file_name(column)}.parquet",
                index=index_path(folder, column),
            )
            kept.append(size.kept)
    counts.unlink()
    return {"kept": kept, "frequent": [frequent.get(number, 0) for number in range(len(kept))]}


def training_values(train: Split, schema: Schema) -> Iterator[pa.RecordBatch]:
    """The categories of the training rows, unit by unit."""
    for unit in np.flatnonzero(train.counts):
        table, picked = train.reader.columns(int(unit), list(schema.categories)), train.select(int(unit))
        table = table if picked is None else table.take(pa.array(picked))
        columns = [_plain(table.column(name).combine_chunks()) for name in schema.categories]
        yield pa.RecordBatch.from_arrays(columns, names=list(schema.categories))


def _plain(column: pa.Array) -> pa.Array:
    """Text or signed whole numbers, missing ones as nulls; or lists."""
    if is_list(column.type):
        return column
    column = column.dictionary_decode() if pt.is_dictionary(column.type) else column
    if pt.is_uint64(column.type):
        return column.view(pa.int64())  # as `category_keys` sees them
    if pt.is_integer(column.type):
        return column
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)


def vocabulary_rows(index: VocabularyIndex, hour: bool, column: pa.Array) -> npt.NDArray[np.int32]:
    """Table rows [n] of a raw column, be it of text, of whole numbers, or a dictionary of either."""
    if pt.is_dictionary(column.type):
        # Each distinct value is looked up once; row 0 in front of them serves the nulls.
        rows = np.concatenate([np.zeros(1, np.int32), vocabulary_rows(index, hour, column.dictionary)])
        return rows[pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64) + 1]
    return index.rows(category_values(column, hour))


def index_path(folder: Path, column: str) -> Path:
    """Where a column's values are looked up, but for the ending; `folder`: the vocabularies'."""
    return folder / "index" / file_name(column)
