"""An earlier log's vocabularies with the frequent new values of a newer one behind their end.

<folder>/vocabulary_earlier/    the earlier run's vocabularies, as it left them
<folder>/vocabulary/            the same with the new values (vocabularies.py says what is in it)

A value that the earlier log had keeps its row. One that it had not gets a row behind the last, if at least
`data.min_count` of the newer log's training rows hold it, by falling count, as long as data.max_table_rows leaves room;
all others stay row 1. What a new row's vector begins with: pipeline/training/earlier_weights.py.
"""

import functools
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.config import DataConfig
from pipeline.data.formats.prepared import file_name
from pipeline.data.prepare.vocabulary import (
    FETCHED_ROWS,
    FIRST_ROW,
    Resources,
    VocabularyIndex,
    count_values,
    database,
    write_index,
    write_vocabulary,
)
from pipeline.data.schema import Schema
from pipeline.data.splits import Split
from pipeline.data.storage.paths import locked
from pipeline.data.vocabularies import (
    FOLDER,
    MEMORY_BYTES,
    Vocabularies,
    index_path,
    settings_of,
    training_values,
    vocabulary_rows,
    with_sizes,
)
from pipeline.run.files import read_json, write_json

if TYPE_CHECKING:
    import duckdb

EARLIER = "vocabulary_earlier"
"""Under the run's data folder."""
SIZES = "sizes.json"


class Extended(NamedTuple):
    """How many values a vocabulary has, those of the earlier one among them."""

    kept: int
    """With a row of their own."""
    frequent: int
    """That would have one without data.max_table_rows."""


def extended_vocabularies(
    train: Split, schema: Schema, columns: tuple[str, ...], config: DataConfig, home: Path
) -> Vocabularies:
    """The vocabularies of some categories, extended now unless the folder has them. One process at a time counts.

    `schema`: the earlier log's, laid out as the newer one; its tables have a row for each value of the vocabularies.
    """
    folder = home / FOLDER
    settings = {**settings_of(train, schema, config), "columns": list(columns), "extends": EARLIER}
    with locked(folder):
        found = read_json(folder / SIZES) if (folder / SIZES).exists() else {}
        if found.get("settings") != settings:
            (folder / SIZES).unlink(missing_ok=True)  # the files are replaced before it is there again
            sizes = _extend(train, schema.with_categories(columns, (2,) * len(columns)), config, home)
            found = {"settings": settings, **{name: [getattr(one, name) for one in sizes] for name in Extended._fields}}
            write_json(folder / SIZES, found)
        indices = {column: VocabularyIndex.open(index_path(folder, column)) for column in columns}
    return Vocabularies(
        with_sizes(schema, columns, found["kept"]),
        with_sizes(schema, columns, found["frequent"]),
        {column: functools.partial(vocabulary_rows, indices[column], column in schema.hours) for column in columns},
    )


def _extend(train: Split, schema: Schema, config: DataConfig, home: Path) -> list[Extended]:
    """Writes the vocabularies of the schema's categories."""
    folder = home / FOLDER
    (folder / "index").mkdir(exist_ok=True)
    counts = folder / "counts.parquet"
    resources = Resources(MEMORY_BYTES, os.cpu_count() or 1, folder / "spill")
    count_values(training_values(train, schema), schema, counts, resources)
    with database(resources) as connection:
        sizes = [
            _extend_column(connection, counts, number, column, schema, config, home)
            for number, column in enumerate(schema.categories)
        ]
    counts.unlink()
    return sizes


def _extend_column(
    connection: "duckdb.DuckDBPyConnection",
    counts: Path,
    number: int,
    column: str,
    schema: Schema,
    config: DataConfig,
    home: Path,
) -> Extended:
    """Writes one category's vocabulary and its index."""
    is_whole = column in (*schema.integer_ids, *schema.hours)
    earlier, target = (home / name / f"{file_name(column)}.parquet" for name in (EARLIER, FOLDER))
    connection.execute(
        f"CREATE TEMP TABLE new AS SELECT {'value::BIGINT' if is_whole else 'value'} AS value, "
        'sum("count")::BIGINT AS "count" FROM read_parquet($counts) WHERE "column" = $column GROUP BY ALL '
        'HAVING sum("count") >= $least',
        {"counts": str(counts), "column": number, "least": config.min_count},
    )
    connection.execute("DELETE FROM new WHERE value IN (SELECT value FROM read_parquet($file))", {"file": str(earlier)})
    ((found,),) = connection.execute("SELECT count(*) FROM new").fetchall()
    before = pq.read_metadata(earlier).num_rows
    room = max(config.max_table_rows - FIRST_ROW - before, 0)
    query = 'SELECT value, "count" FROM new ORDER BY "count" DESC, value LIMIT $room'
    ranked = connection.sql(query, params={"room": room}).to_arrow_reader(FETCHED_ROWS)
    keys = np.empty(before + min(found, room), np.uint64)
    value_type = pa.int64() if is_whole else pa.string()
    write_vocabulary(itertools.chain(_batches(earlier), ranked), value_type, target, keys)
    connection.execute("DROP TABLE new")
    write_index(keys, index_path(home / FOLDER, column), target)
    return Extended(len(keys), before + found)


def _batches(vocabulary: Path) -> Iterator[pa.RecordBatch]:
    """Value and count of a vocabulary's values, in the order of their rows."""
    with pq.ParquetFile(vocabulary) as file:
        yield from file.iter_batches(FETCHED_ROWS, columns=["value", "count"])
