"""Units read and decoded in threads before their batches are due, within a budget of bytes; batches cut from them.

Shapes: B batch, I dense inputs, F fields.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import torch

from pipeline.data.batch import Batch
from pipeline.data.features import Columns, Rows
from pipeline.data.pool import pool_array

MAX_PLANNED = 4096
"""Batches planned ahead: enough to fill any budget with units, and the plan stays small where units are."""

RELEASE_EVERY = 8
"""Units after which Arrow's pool gives back what it holds in reserve. Never, and a long stream's memory creeps up by a
third of a short one's; after each, and every unit's pages are faulted in anew."""

UnitOfEpoch = tuple[int, int]
"""(epoch, unit): each epoch has an order of its own."""


class Read(NamedTuple):
    """Some rows of a unit as a part of a batch."""

    unit: UnitOfEpoch
    """Which."""
    read: Callable[[int], Rows | Columns]
    """Reads the unit, given its number."""
    nbytes: int
    """What the unit takes when it has been read."""
    first: int
    """The rows first, …, stop - 1 of the unit."""
    stop: int
    """One behind the last."""


class Units:
    """The units of the batches to come: read in the order in which batches need them, as many as fit into the budget.

    Those of the next batch are read even if they alone exceed it. A unit is let go when no planned batch needs it.
    Without a pool they are read where they are needed, one after the other, and never ahead.
    """

    def __init__(self, plan: Iterator[list[Read]], budget_bytes: int, pool: Executor | None) -> None:
        self._plan, self._pool = plan, pool
        self._budget = 0 if pool is None else budget_bytes
        self._planned: deque[list[Read]] = deque()  # all of their units are held
        self._held: dict[UnitOfEpoch, Future[Rows | Columns]] = {}
        self._uses: dict[UnitOfEpoch, int] = {}  # batches that need the unit: the planned ones and the next to plan
        self.held_bytes = self._let_go = 0
        self._next = self._draw()  # not yet planned

    def next_batch(self) -> list[tuple[Rows | Columns, int, int]] | None:
        """The parts of the next batch as (rows, first, stop), once they have been read; None at the end."""
        self._read_ahead()
        if not self._planned:
            return None
        reads = self._planned.popleft()
        parts = [(self._held[read.unit].result(), read.first, read.stop) for read in reads]
        for read in reads:
            self._uses[read.unit] -= 1
            if not self._uses[read.unit]:
                self.held_bytes -= read.nbytes
                del self._uses[read.unit], self._held[read.unit]
                self._let_go += 1
                if self._let_go % RELEASE_EVERY == 0:
                    pa.default_memory_pool().release_unused()
        return parts

    def _read_ahead(self) -> None:
        while self._next is not None and len(self._planned) < MAX_PLANNED:
            new = {read.unit: read for read in self._next if read.unit not in self._held}
            new_bytes = sum(read.nbytes for read in new.values())
            if self._planned and self.held_bytes + new_bytes > self._budget:
                return
            for unit, read in new.items():
                self._held[unit] = self._submit(read)
            self.held_bytes += new_bytes
            self._planned.append(self._next)
            self._next = self._draw()

    def _submit(self, read: Read) -> "Future[Rows | Columns]":
        if self._pool is not None:
            return self._pool.submit(read.read, read.unit[1])
        done: Future[Rows | Columns] = Future()
        done.set_result(read.read(read.unit[1]))
        return done

    def _draw(self) -> list[Read] | None:
        reads = next(self._plan, None)
        for read in reads or ():
            self._uses[read.unit] = self._uses.get(read.unit, 0) + 1
        return reads


def batches_ahead(
    plan: Iterator[list[Read]], keys: tuple[str, ...], dense_width: int, budget_bytes: int, threads: int
) -> Generator[Batch, None, None]:
    """The planned batches, in page-locked memory where there is CUDA.

    One thread reads, decodes and cuts, which costs least: rows are still in the core's cache when they are cut. More
    read and decode beside the one that cuts.
    """
    pinned = torch.cuda.is_available()
    lengths = torch.empty(0, dtype=torch.int32)  # of the batch before: all but the last have the same
    pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="data-read") if threads > 1 else None
    try:
        units = Units(plan, budget_bytes, pool)
        while (parts := units.next_batch()) is not None:
            ids = len(keys) * sum(stop - first for _, first, stop in parts)
            if ids != len(lengths):
                lengths = torch.ones(ids, dtype=torch.int32, pin_memory=pinned)
            yield assemble(parts, keys, dense_width, lengths)
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def assemble(
    parts: list[tuple[Rows | Columns, int, int]], keys: tuple[str, ...], dense_width: int, lengths: torch.Tensor
) -> Batch:
    """Copies the parts together, each column a stretch of memory at a time, into memory pinned as `lengths` is."""
    pinned = lengths.is_pinned()
    total = sum(stop - first for _, first, stop in parts)
    dense = _empty((dense_width, total), torch.float32, pinned)  # [I, B]
    ids = _empty((len(keys), total), torch.int64, pinned)  # [F, B]
    label = _empty((total,), torch.float32, pinned)  # [B]
    dense_array, ids_array, label_array = dense.numpy(), ids.numpy(), label.numpy()
    start = 0
    for rows, first, stop in parts:
        end = start + stop - first
        if isinstance(rows, Rows):
            dense_array[:, start:end] = rows.dense[:, first:stop]
            ids_array[:, start:end] = rows.ids[:, first:stop]
        else:
            for column, values in enumerate(rows.dense):
                dense_array[column, start:end] = values[first:stop]
            for field, numbers in enumerate(rows.ids):
                ids_array[field, start:end] = numbers[first:stop]
        label_array[start:end] = rows.label[first:stop]
        start = end
    return Batch.of_ids(dense.t(), ids, label, keys, lengths)


def _empty(shape: tuple[int, ...], dtype: torch.dtype, pinned: bool) -> torch.Tensor:
    if pinned:
        return torch.empty(shape, dtype=dtype, pin_memory=True)
    return torch.from_numpy(pool_array(shape, str(dtype).removeprefix("torch.")))
