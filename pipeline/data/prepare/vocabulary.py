"""Vocabularies: which values a categorical column has, how often, and the table row each gets.

Row 0 is missing, row 1 every value outside the vocabulary, and from row 2 on stand the values seen at least `min_count`
times: by falling count, equal counts by value (text by its UTF-8 bytes), so that the same data give the same rows.

Counting is exact and out of core. Arrow counts each block; DuckDB adds the blocks up and spills to the disk what does
not fit: first one file at a time, so that a stopped run has only one file to count again, then all of them.

n values of a block, V values of a vocabulary.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data.formats.features import text_hashes
from pipeline.data.formats.lists import kept_values
from pipeline.data.formats.prepared import OUT_OF_VOCABULARY_ROW
from pipeline.data.schema import Schema
from pipeline.run.files import atomic_write

if TYPE_CHECKING:
    import duckdb

FIRST_ROW = OUT_OF_VOCABULARY_ROW + 1
"""Row of the most frequent value."""
_ENTRIES = pa.schema([("column", pa.int16()), ("value", pa.string()), ("count", pa.int64())])
FETCHED_ROWS = 1 << 18
"""Of a vocabulary that are in memory together."""


@dataclasses.dataclass(frozen=True)
class Resources:
    """What DuckDB may use."""

    memory_bytes: int
    """Beyond it, it spills."""
    threads: int
    """1 or more."""
    spill: Path
    """A folder of its own on the disk; made, and removed again."""


@contextlib.contextmanager
def database(resources: Resources) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A DuckDB in memory, held to its resources."""
    import duckdb  # here, for only `prepare` counts: its binding prints what it leaks whenever a process ends

    shutil.rmtree(resources.spill, ignore_errors=True)  # of a run that was killed
    connection = duckdb.connect(
        config={
            "memory_limit": f"{resources.memory_bytes // 2**20}MiB",
            "threads": resources.threads,
            "temp_directory": str(resources.spill),
            "preserve_insertion_order": False,
        }
    )
    try:
        connection.execute("SET enable_progress_bar = false")
        yield connection
    except duckdb.Error as error:
        raise ValueError(
            f"counting failed: {error}; give it more memory_gb, or more disk under {resources.spill}"
        ) from error
    finally:
        connection.close()
        shutil.rmtree(resources.spill, ignore_errors=True)


def category_values(column: pa.Array, hour: bool) -> pa.Array:
    """What a vocabulary counts of a column: text or whole numbers; of times YYMMDDHH the hour of the day."""
    if not hour:
        return column
    numbers = column.fill_null(0).to_numpy() % 100
    return pa.array(numbers, mask=column.is_null().to_numpy(zero_copy_only=False))


def count_values(blocks: Iterable[pa.RecordBatch], schema: Schema, target: Path, resources: Resources) -> None:
    """Counts every value of every categorical column of one file into Parquet (column number, value as text, count)."""
    failures: list[Exception] = []  # what goes wrong while reading, which DuckDB would wrap in words of its own
    entries = pa.RecordBatchReader.from_batches(_ENTRIES, _noting(failures, _block_counts(blocks, schema)))
    query = 'SELECT "column", value, sum("count")::BIGINT AS "count" FROM entries GROUP BY ALL ORDER BY "column"'
    try:
        with database(resources) as connection:
            connection.register("entries", entries)
            with atomic_write(target) as handle, pq.ParquetWriter(handle, _ENTRIES, compression="zstd") as writer:
                for batch in connection.sql(query).to_arrow_reader(FETCHED_ROWS):
                    writer.write_batch(batch.cast(_ENTRIES))
    except ValueError:
        if failures:
            raise failures[0] from None
        raise


def _noting(failures: list[Exception], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except Exception as error:
        failures.append(error)
        raise


def _block_counts(blocks: Iterable[pa.RecordBatch], schema: Schema) -> Iterator[pa.RecordBatch]:
    for rows in blocks:
        for number, (name, places) in enumerate(zip(schema.categories, schema.id_places, strict=True)):
            values = rows.column(name)
            if name in schema.lists:
                values = kept_values(values, places).values  # those beyond are not trained on
                values = values.view(pa.int64()) if pa.types.is_uint64(values.type) else values
            counted = category_values(values, name in schema.hours).drop_null().value_counts()
            column = pa.array(np.full(len(counted), number, np.int16))
            values = counted.field("values").cast(pa.string())
            yield pa.RecordBatch.from_arrays([column, values, counted.field("counts")], schema=_ENTRIES)


@dataclasses.dataclass(frozen=True)
class VocabularySize:
    """How many values a column has."""

    seen: int
    """Distinct values in the click log."""
    kept: int
    """V, those with a row of their own."""

    @property
    def table_rows(self) -> int:
        """Rows of the embedding table."""
        return FIRST_ROW + self.kept


def merge_counts(
    connection: "duckdb.DuckDBPyConnection",
    counts: list[Path],
    column: int,
    whole_numbers: bool,
    min_count: int,
    max_table_rows: int,
    target: Path,
    index: Path,
) -> VocabularySize:
    """Adds the files' counts of one column up and writes its vocabulary (value, count, row), then its index."""
    value = "value::BIGINT" if whole_numbers else "value"
    connection.execute(
        f'CREATE TEMP TABLE counts AS SELECT {value} AS value, sum("count")::BIGINT AS "count" '
        'FROM read_parquet($files) WHERE "column" = $column GROUP BY ALL',
        {"files": [str(path) for path in counts], "column": column},
    )
    query = 'SELECT count(*), count(*) FILTER ("count" >= $min_count) FROM counts'
    ((seen, frequent),) = connection.execute(query, {"min_count": min_count}).fetchall()
    limit = max_table_rows - FIRST_ROW
    size = VocabularySize(seen, min(frequent, limit))
    query = 'SELECT value, "count" FROM counts WHERE "count" >= $min_count ORDER BY "count" DESC, value LIMIT $limit'
    ranked = connection.sql(query, params={"min_count": min_count, "limit": limit}).to_arrow_reader(FETCHED_ROWS)
    keys = np.empty(size.kept, np.uint64)
    write_vocabulary(ranked, pa.int64() if whole_numbers else pa.string(), target, keys)
    connection.execute("DROP TABLE counts")  # its memory is wanted for the index
    write_index(keys, index, target)
    return size


def write_vocabulary(
    batches: Iterable[pa.RecordBatch], value_type: pa.DataType, target: Path, keys: npt.NDArray[np.uint64]
) -> None:
    """Writes value, count and row: the rows from `FIRST_ROW` on, in the order given. Row groups are cut evenly here:
    the same bytes however DuckDB cuts its batches. `keys` [V] are filled."""
    schema = pa.schema([("value", value_type), ("count", pa.int64()), ("row", pa.int32())])
    done = 0
    with atomic_write(target) as handle, pq.ParquetWriter(handle, schema, compression="zstd") as writer:
        waiting: list[pa.Table] = []
        for batch in batches:
            value = batch.column("value").cast(value_type)
            keys[done : done + len(value)] = category_keys(value)[0]
            row = pa.array(np.arange(FIRST_ROW + done, FIRST_ROW + done + len(value), dtype=np.int32))
            waiting.append(pa.Table.from_arrays([value, batch.column("count"), row], schema=schema))
            done += len(value)
            if sum(table.num_rows for table in waiting) >= FETCHED_ROWS:
                table = pa.concat_tables(waiting)
                whole = table.num_rows // FETCHED_ROWS * FETCHED_ROWS
                writer.write_table(table.slice(0, whole).combine_chunks(), row_group_size=FETCHED_ROWS)
                waiting = [table.slice(whole)]
        if waiting:
            writer.write_table(pa.concat_tables(waiting).combine_chunks())
    assert done == len(keys)


def category_keys(values: pa.Array) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """64 bits that stand for each value [n], and where there is one [n]: whole numbers themselves, of text its hash.

    Texts of up to 8 bytes and equal length never share a key; others do with a probability of 2^-64 each pair, and
    `merge_counts` makes sure that no two of a vocabulary do.
    """
    if pa.types.is_integer(values.type):
        present = values.is_valid().to_numpy(zero_copy_only=False)
        return pc.fill_null(values, 0).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64), present
    return text_hashes(values)


def write_index(keys: npt.NDArray[np.uint64], index: Path, target: Path) -> None:
    """The keys in ascending order and the row of each, as two .npy files that processes share by mapping them."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    if (keys[1:] == keys[:-1]).any():
        raise ValueError(f"{target}: two values share a 64-bit hash; number this click log by hashing instead")
    order += FIRST_ROW
    for suffix, array in ((".keys.npy", keys), (".rows.npy", order.astype(np.int32))):
        with atomic_write(index.with_suffix(suffix)) as handle:
            np.save(handle, array)


class VocabularyIndex:
    """The rows of a column's values, looked up in arrays that may be mapped into memory."""

    def __init__(self, keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.int32]) -> None:
        """`keys` [V], ascending, as `category_keys` makes them; `rows` [V]: the table row of each."""
        self._keys, self._rows = keys, rows

    @classmethod
    def open(cls, index: Path) -> "VocabularyIndex":
        """The index that `merge_counts` wrote."""
        return cls(*(np.load(index.with_suffix(f".{name}.npy"), mmap_mode="r") for name in ("keys", "rows")))

    def rows(self, values: pa.Array) -> npt.NDArray[np.int32]:
        """Table rows [n]: 0 missing, 1 out of the vocabulary."""
        keys, present = category_keys(values)
        distinct = pa.array(keys).dictionary_encode()  # a value is looked up once per block
        wanted = distinct.dictionary.to_numpy()
        found = np.full(len(wanted), OUT_OF_VOCABULARY_ROW, np.int32)
        if len(self._keys):
            place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
            known = self._keys[place] == wanted
            found[known] = self._rows[place[known]]
        rows = found[distinct.indices.to_numpy()]
        rows[~present] = 0
        return rows
