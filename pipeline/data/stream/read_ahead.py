"""Units read and decoded in threads before their batches are due, within a budget of bytes; batches cut from them.

Shapes: B batch, I dense inputs, F fields, C ids that a row has room for: F without lists.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy.typing as npt
import torch

from pipeline.data.batch import Batch
from pipeline.data.formats.features import Columns, Rows
from pipeline.data.memory_pool import POOL

MAX_PLANNED = 4096
"""Batches planned ahead: enough to fill any budget with units, and the plan stays small where units are."""

AnyArray = npt.NDArray[Any]
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

    Those of the next batch are read even if they alone exceed it. A unit is released as soon as no planned batch needs
    it. Without a pool each is read when its first rows are taken, after those before it were released, never ahead.
    """

    def __init__(self, plan: Iterator[list[Read]], budget_bytes: int, pool: Executor | None) -> None:
        self._plan, self._pool = plan, pool
        self._budget = 0 if pool is None else budget_bytes
        self._planned: deque[list[Read]] = deque()  # all of their units are held
        self._held: dict[UnitOfEpoch, Future[Rows | Columns]] = {}
        self._uses: dict[UnitOfEpoch, int] = {}  # batches that need the unit: the planned ones and the next to plan
        self.held_bytes = 0
        self._next = self._draw()  # not yet planned

    def next_batch(self) -> list[Read] | None:
        """What the next batch is made of; None at the end. Take and release each part, one after the other."""
        self._read_ahead()
        return self._planned.popleft() if self._planned else None

    def take(self, read: Read) -> Rows | Columns:
        """The part's unit, once it has been read."""
        unit = self._held[read.unit]
        if self._pool is None and not unit.done():
            unit.set_result(read.read(read.unit[1]))
        return unit.result()

    def release(self, read: Read) -> None:
        """Says that the part is no longer needed; after its last part the unit is freed."""
        self._uses[read.unit] -= 1
        if not self._uses[read.unit]:
            self.held_bytes -= read.nbytes
            del self._uses[read.unit], self._held[read.unit]

    def _read_ahead(self) -> None:
        while self._next is not None and len(self._planned) < MAX_PLANNED:
            new = {read.unit: read for read in self._next if read.unit not in self._held}
            new_bytes = sum(read.nbytes for read in new.values())
            if self._planned and self.held_bytes + new_bytes > self._budget:
                return
            for unit, read in new.items():
                self._held[unit] = self._pool.submit(read.read, unit[1]) if self._pool else Future()
            self.held_bytes += new_bytes
            self._planned.append(self._next)
            self._next = self._draw()

    def _draw(self) -> list[Read] | None:
        reads = next(self._plan, None)
        for read in reads or ():
            self._uses[read.unit] = self._uses.get(read.unit, 0) + 1
        return reads


def batches_ahead(
    plan: Iterator[list[Read]],
    keys: tuple[str, ...],
    dense_width: int,
    budget_bytes: int,
    threads: int,
    id_places: tuple[int, ...] = (),
) -> Generator[Batch, None, None]:
    """The planned batches, in page-locked memory where there is CUDA. `id_places` [F]: of the rows' ids; empty: one a
    field.

    One thread reads, decodes and cuts, which costs least: rows are still in the core's cache when they are cut. More
    read and decode beside the one that cuts.
    """
    pinned = torch.cuda.is_available()
    lengths = torch.empty(0, dtype=torch.int32)  # of the batch before: all but the last have the same
    pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="data-read") if threads > 1 else None
    try:
        units = Units(plan, budget_bytes, pool)
        while (reads := units.next_batch()) is not None:
            ids = len(keys) * sum(read.stop - read.first for read in reads)
            if ids != len(lengths):
                lengths = torch.ones(ids, dtype=torch.int32, pin_memory=pinned)
            yield assemble(reads, units, keys, dense_width, lengths, id_places)
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def assemble(
    reads: list[Read],
    units: Units,
    keys: tuple[str, ...],
    dense_width: int,
    lengths: torch.Tensor,
    id_places: tuple[int, ...] = (),
) -> Batch:
    """Takes the parts together, each released before the next is waited for, into memory pinned as `lengths` is."""
    pinned = lengths.is_pinned()
    total = sum(read.stop - read.first for read in reads)
    dense = _empty((dense_width, total), torch.float32, pinned)  # [I, B]
    has_lists = any(places > 1 for places in id_places)
    ids = _empty((sum(id_places) or len(keys), total), torch.int32, pinned and not has_lists)  # [C, B]
    label = _empty((total,), torch.float32, pinned)  # [B]
    weight: torch.Tensor | None = None  # [B], where the log has weights
    start = 0
    for read in reads:
        end = start + read.stop - read.first
        rows, which = units.take(read), slice(read.first, read.stop)
        _copy(rows, which, dense.numpy()[:, start:end], ids.numpy()[:, start:end], label.numpy()[start:end])
        if rows.weight is not None:
            weight = _empty((total,), torch.float32, pinned) if weight is None else weight
            weight.numpy()[start:end] = rows.weight[which]
        del rows  # before the next unit is waited for
        units.release(read)
        start = end
    if has_lists:
        batch = Batch.of_lists(dense.t(), ids, label, keys, id_places, weight)
        return batch.pin_memory() if pinned else batch
    return Batch.of_ids(dense.t(), ids, label, keys, lengths, weight)


def _copy(rows: Rows | Columns, which: slice, dense: AnyArray, ids: AnyArray, label: AnyArray) -> None:
    """Some rows into a stretch of a batch, a column at a time."""
    if isinstance(rows, Rows):
        dense[:] = rows.dense[:, which]
        ids[:] = rows.ids[:, which]
    else:
        for column, values in zip(dense, rows.dense, strict=True):
            column[:] = values[which]
        for field, numbers in zip(ids, rows.ids, strict=True):
            field[:] = numbers[which]
    label[:] = rows.label[which]


def _empty(shape: tuple[int, ...], dtype: torch.dtype, pinned: bool) -> torch.Tensor:
    if pinned:
        return torch.empty(shape, dtype=dtype, pin_memory=True)
    return torch.from_numpy(POOL.array(shape, str(dtype).removeprefix("torch.")))
