"""pipeline/data/prepare/vocabulary.py: exact counts and the rows they give, against plain Python."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.prepare import vocabulary
from pipeline.data.prepare.vocabulary import (
    Resources,
    VocabularyIndex,
    category_values,
    count_values,
    database,
    merge_counts,
)
from pipeline.data.schema import Schema

SCHEMA = Schema("log", "y", (), ("word", "number", "when"), (9, 9, 9), ("number",), ("when",))
TYPES = pa.schema([("word", pa.string()), ("number", pa.int64()), ("when", pa.int64())])

Row = tuple[str | None, int | None, int | None]
words = st.one_of(st.none(), st.sampled_from(["a", "b", "aa", "é", "zzzzzzzzzzzz", "zzzzzzzzzzzy", "\U0001f600", "﷽"]))
numbers = st.one_of(st.none(), st.sampled_from([0, -1, 1, 5, 10, 2**62, -(2**62)]))
hours = st.one_of(st.none(), st.sampled_from([14102100, 14102101, 14102223, 14102300]))
files = st.lists(st.lists(st.tuples(words, numbers, hours), max_size=30), min_size=1, max_size=3)


def block(rows: list[Row]) -> pa.RecordBatch:
    """Rows as the reader gives them."""
    columns = [[row[index] for row in rows] for index in range(3)]
    return pa.RecordBatch.from_arrays([pa.array(c, t.type) for c, t in zip(columns, TYPES, strict=True)], schema=TYPES)


def resources(folder: Path, memory_bytes: int = 2**28) -> Resources:
    """Of a test."""
    return Resources(memory_bytes, 1, folder / "spill")


def counted(folder: Path, logs: list[list[pa.RecordBatch]]) -> list[Path]:
    """The counts of some files."""
    paths = [folder / f"{number}.parquet" for number in range(len(logs))]
    for path, blocks in zip(paths, logs, strict=True):
        count_values(blocks, SCHEMA, path, resources(folder))
    return paths


@pytest.mark.slow
@settings(max_examples=10)  # each starts seven databases
@given(logs=files, min_count=st.sampled_from([1, 2, 4]))
def test_brute_force(tmp_path_factory: pytest.TempPathFactory, logs: list[list[Row]], min_count: int) -> None:
    """Rows, sizes and the vocabulary's file are those of counting in plain Python: falling count, then value."""
    folder = tmp_path_factory.mktemp("vocabulary")
    paths = counted(folder, [[block(rows[:7]), block(rows[7:])] for rows in logs])
    rows = [row for log in logs for row in log]
    for column in range(3):
        plain = [row[column] % 100 if column == 2 and row[column] is not None else row[column] for row in rows]  # type: ignore[operator]
        counts = Counter(value for value in plain if value is not None)
        ranked = sorted(
            (value for value in counts if counts[value] >= min_count),
            key=lambda value: (-counts[value], value.encode() if isinstance(value, str) else value),
        )
        target, index = folder / f"v{column}.parquet", folder / f"index{column}"
        with database(resources(folder)) as connection:
            size = merge_counts(connection, paths, column, column > 0, min_count, 2**31 - 1, target, index)
        assert (size.seen, size.kept, size.table_rows) == (len(counts), len(ranked), len(ranked) + 2)
        found = pq.read_table(target).to_pydict()
        assert found == {
            "value": ranked,
            "count": [counts[value] for value in ranked],
            "row": list(range(2, len(ranked) + 2)),
        }
        raw = block([*rows, (None, None, None), ("new", 77, 14010177)]).column(column)
        expected = [0 if v is None else ranked.index(v) + 2 if v in ranked else 1 for v in plain]
        assert VocabularyIndex.open(index).rows(category_values(raw, column == 2)).tolist() == [*expected, 0, 1]


def test_the_most_frequent_are_kept(tmp_path: Path) -> None:
    """A limit of rows keeps the most frequent values; the rest share row 1."""
    rows: list[Row] = [(word, None, None) for word in "aaaaabbbbcccdde"]
    (path,) = counted(tmp_path, [[block(rows)]])
    with database(resources(tmp_path)) as connection:
        size = merge_counts(connection, [path], 0, False, 1, 5, tmp_path / "v", tmp_path / "index")
    assert (size.seen, size.kept) == (5, 3)
    found = VocabularyIndex.open(tmp_path / "index").rows(pa.array(["a", "b", "c", "d", "e", ""]))
    assert found.tolist() == [2, 3, 4, 1, 1, 0]


@pytest.mark.slow
def test_more_values_than_memory(tmp_path: Path) -> None:
    """Values that do not fit into DuckDB's memory are counted all the same, and its spill folder is gone after."""
    distinct = 3_000_000
    values = np.random.Generator(np.random.PCG64(0)).permutation(np.arange(distinct))
    blocks = []
    for chunk in np.array_split(np.concatenate([values, values[: distinct // 2]]), 20):
        nulls = pa.nulls(len(chunk), pa.string())
        blocks.append(pa.RecordBatch.from_arrays([nulls, pa.array(chunk), nulls.cast(pa.int64())], schema=TYPES))
    limited = resources(tmp_path, 100 * 2**20)
    count_values(blocks, SCHEMA, tmp_path / "counts", limited)
    counts = [tmp_path / "counts"]
    with database(limited) as connection:
        size = merge_counts(connection, counts, 1, True, 2, 2**31 - 1, tmp_path / "v", tmp_path / "index")
    assert (size.seen, size.kept) == (distinct, distinct // 2)
    found = pq.read_table(tmp_path / "v")
    assert (found["value"].to_numpy() == np.sort(values[: distinct // 2])).all()
    assert not limited.spill.exists()


def test_two_values_of_one_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary in which two values share a hash is refused rather than mixed up."""
    (path,) = counted(tmp_path, [[block([("a", None, None), ("b", None, None)])]])
    same = (np.zeros(2, np.uint64), np.ones(2, np.bool_))
    monkeypatch.setattr(vocabulary, "category_keys", lambda values: same)
    with database(resources(tmp_path)) as connection, pytest.raises(ValueError, match="share a 64-bit hash"):
        merge_counts(connection, [path], 0, False, 1, 100, tmp_path / "v", tmp_path / "index")
