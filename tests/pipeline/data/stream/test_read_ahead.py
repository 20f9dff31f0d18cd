"""pipeline/data/stream/read_ahead.py:
units are read in time, once, within the budget; batches hold exactly the rows planned."""

import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.formats.features import Columns, Rows
from pipeline.data.stream.read_ahead import Read, Units, batches_ahead

UNIT_ROWS, ROW_BYTES = 10, 16


def unit(number: int) -> Rows:
    """Rows numbered through all units; each column says where it stands."""
    rows = np.arange(number * UNIT_ROWS, (number + 1) * UNIT_ROWS)
    return Rows(
        dense=np.stack([rows + 0.25, rows + 0.5]).astype(np.float32),
        ids=np.stack([rows, rows + 1]).astype(np.int32),
        label=(rows % 2).astype(np.float32),
    )


def planned(batches: list[list[tuple[int, int, int]]], read: Counter[int]) -> list[list[Read]]:
    """(unit, first, stop) a part, counting how often each unit is read."""

    def count(number: int) -> Rows:
        read[number] += 1
        return unit(number)

    return [
        [Read((0, number), count, UNIT_ROWS * ROW_BYTES, first, stop) for number, first, stop in batch]
        for batch in batches
    ]


def taken(units: Units) -> list[tuple[int, int, int, int]]:
    """The next batch as (unit, first, stop, number that the unit itself says), each part released before the next."""
    reads = units.next_batch()
    assert reads is not None
    found = []
    for read in reads:
        found.append((read.unit[1], read.first, read.stop, int(units.take(read).ids[0][0]) // UNIT_ROWS))
        units.release(read)
    assert all(number == said for number, *_, said in found)
    return found


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 2000), st.integers(1, 3))
def test_once_and_within_the_budget(shards: int, units: int, budget: int, threads: int) -> None:
    """Lanes that walk through units of their own: each is read once, and what is held fits, or is one batch's own."""
    step = [
        [(shard * units + place, first, first + 2) for shard in range(shards)]
        for place in range(units)
        for first in range(0, UNIT_ROWS, 2)
    ]
    read: Counter[int] = Counter()
    with ThreadPoolExecutor(threads) as pool:
        ahead = Units(iter(planned(step, read)), budget, pool)
        for batch in step:
            assert [(number, first, stop) for number, first, stop, _ in taken(ahead)] == batch
            assert ahead.held_bytes <= max(budget, 2 * shards * UNIT_ROWS * ROW_BYTES)
        assert ahead.next_batch() is None
        assert ahead.held_bytes == 0
    assert set(read.values()) == {1}


def test_without_a_pool_nothing_is_read_ahead() -> None:
    """One thread reads a unit when its first rows are taken, once, after what is done with was released: of three
    shards that all come to their next units in one batch, three are held and never more."""
    alive: weakref.WeakSet[Rows] = weakref.WeakSet()
    most = 0

    class Watched(Rows):
        __hash__ = object.__hash__

    def read(number: int) -> Rows:
        nonlocal most
        made = unit(number)
        watched = Watched(made.dense, made.ids, made.label)
        alive.add(watched)
        most = max(most, len(alive))
        return watched

    plan = [
        [Read((0, 2 * shard + place // 2), read, 1, 5 * (place % 2), 5 * (place % 2) + 5) for shard in range(3)]
        for place in range(4)
    ]
    ahead = Units(iter(plan), 10**9, None)
    for place in range(4):
        assert [number for number, *_ in taken(ahead)] == [2 * shard + place // 2 for shard in range(3)]
    assert ahead.next_batch() is None
    assert most == 3 and not alive and ahead.held_bytes == 0


def test_reads_ahead() -> None:
    """While the first batch is used, as many units as the budget holds have been asked for, and no more."""
    read: Counter[int] = Counter()
    with ThreadPoolExecutor(1) as pool:
        ahead = Units(
            iter(planned([[(number, 0, UNIT_ROWS)] for number in range(9)], read)), 4 * UNIT_ROWS * ROW_BYTES, pool
        )
        ahead.next_batch()
    assert read == Counter(range(4))


@pytest.mark.parametrize("kind", ["matrix", "columns"])
def test_batches(kind: str) -> None:
    """A batch's dense inputs, ids and labels are those of the planned rows, in their order; lengths are ones."""

    def read(number: int) -> Rows | Columns:
        rows = unit(number)
        if kind == "matrix":
            return rows
        return Columns(list(rows.dense), list(rows.ids), rows.label.astype(np.int8))

    parts = [[(0, 2, 5), (3, 0, 4)], [(1, 0, 10)], [(2, 9, 10), (0, 0, 1), (0, 5, 6)], []]
    plan = ([Read((0, number), read, 100, first, stop) for number, first, stop in batch] for batch in parts)
    batches = list(batches_ahead(plan, ("a", "b"), 2, 1000, 2))
    for batch, expected in zip(batches, parts, strict=True):
        rows = torch.tensor(
            [UNIT_ROWS * number + row for number, first, stop in expected for row in range(first, stop)]
        )
        assert torch.equal(batch.ids, torch.stack([rows, rows + 1], 1).long().reshape(-1, 2))
        assert torch.equal(batch.dense, torch.stack([rows + 0.25, rows + 0.5], 1).float().reshape(-1, 2))
        assert torch.equal(batch.label, (rows % 2).float())
        assert batch.sparse.lengths().tolist() == [1] * (2 * len(rows))
        assert batch.dense.t().is_contiguous()


def test_errors_come_out() -> None:
    """What goes wrong while a unit is read goes wrong where its batch is asked for, after the batches before it."""

    def read(number: int) -> Rows:
        if number == 2:
            raise ValueError("unit 2 is bad")
        return unit(number)

    batches = batches_ahead(([Read((0, number), read, 100, 0, 10)] for number in range(4)), ("a", "b"), 2, 1000, 2)
    assert next(batches).num_rows == next(batches).num_rows == 10
    with pytest.raises(ValueError, match="unit 2 is bad"):
        next(batches)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU, whose copies pinned memory is for")
def test_pinned() -> None:
    """Where there is CUDA, batches lie in page-locked memory."""
    (batch,) = batches_ahead(iter([[Read((0, 0), unit, 100, 0, 10)]]), ("a", "b"), 2, 1000, 1)
    assert batch.dense.is_pinned() and batch.label.is_pinned()
    assert batch.sparse.values().is_pinned() and batch.sparse.lengths().is_pinned()


def test_ids_are_int32() -> None:
    """As TorchRec's own Criteo batches have them; `Batch.ids` are int64, as tables are indexed."""
    (batch,) = batches_ahead(iter([[Read((0, 0), unit, 100, 0, 10)]]), ("a", "b"), 2, 1000, 1)
    assert (batch.sparse.values().dtype, batch.ids.dtype) == (torch.int32, torch.int64)
