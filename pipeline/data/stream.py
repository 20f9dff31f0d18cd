"""Batches of one split in a seeded order, with a position that any number of ranks can go on from.

The order of an epoch: row groups in a seeded shuffle, the rows of each in a seeded shuffle, and ranks and lanes dealt
from it as `position.py` says. Without a seed: the order of the files, a stretch a rank.

Shapes: B batch, I integers (1 without any), F fields.
"""

import logging
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from pipeline.data.batch import Batch
from pipeline.data.features import Rows
from pipeline.data.position import Deal, Interval, Leg, deal_after

logger = logging.getLogger(__name__)

MAX_LANES = 8
"""Row groups open at once on one rank: rows of a batch come from so many places."""
LANE_BYTES = 256 * 2**20
"""Decoded rows open at once on one rank; large row groups make fewer lanes."""
READ_AHEAD = 2
"""Batches made in the background."""


class SplitRows(Protocol):
    """What a stream reads: the units (row groups) of one split."""

    @property
    def name(self) -> str:
        """train, valid or test."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the categorical columns."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Rows of the split in each unit."""

    @property
    def max_unit_bytes(self) -> int:
        """Of the largest unit, decoded."""

    def read(self, unit: int) -> Rows:
        """All rows of the unit."""

    def select(self, unit: int) -> npt.NDArray[np.int64]:
        """Which of them are of the split."""


class EpochOrder:
    """Position → (unit, row): the order of one epoch."""

    def __init__(self, counts: npt.NDArray[np.int64], seed: int | None, epoch: int) -> None:
        self.seed, self.epoch = seed, epoch
        self.units = np.arange(len(counts))
        if seed is not None:
            self.units = _generator(seed, epoch, 0).permutation(self.units)
        self.stops = np.cumsum(counts[self.units])  # position behind the last row of each unit, in this order

    def locate(self, interval: Interval) -> Iterator[tuple[int, int, int]]:
        """(unit, first, stop): the interval as ranges within the orders of its units."""
        position, stop = interval
        place = int(np.searchsorted(self.stops, position, side="right"))
        while position < stop:
            start = int(self.stops[place - 1]) if place else 0
            end = min(stop, int(self.stops[place]))
            yield int(self.units[place]), position - start, end - start
            position, place = end, place + 1

    def within(self, unit: int, selected: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The unit's rows in their order."""
        return selected if self.seed is None else _generator(self.seed, self.epoch, unit + 1).permutation(selected)


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


class Stream(Iterator[Batch]):
    """One rank's batches of a split over some epochs. `len` and the position are the same on every rank.

    Batches are made ahead in a thread; the position counts those handed out. `close` (or a `with` block, or the end of
    the stream) ends the thread.
    """

    def __init__(
        self,
        rows: SplitRows,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        shuffle_seed: int | None = None,
        epochs: int = 1,
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1 or epochs < 1:
            raise ValueError(f"batch_size is {batch_size} and epochs {epochs}; both are 1 or more")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank} of world_size {world_size}; use 0 to world_size - 1")
        if shuffle_seed is not None and shuffle_seed < 0:
            raise ValueError(f"shuffle_seed is {shuffle_seed}; use 0 or more")
        self._rows, self._batch_size, self._rank, self._world_size = rows, batch_size, rank, world_size
        self._seed, self._epochs, self._drop_last = shuffle_seed, epochs, drop_last
        self._num_rows = int(rows.counts.sum())
        lanes = max(1, min(MAX_LANES, LANE_BYTES // rows.max_unit_bytes))
        self._base_lanes = 1 if shuffle_seed is None else lanes
        self._epoch, self._steps, self._batches, self._rows_dropped = 0, 0, 0, 0
        self._legs: list[Leg] = []
        self._ahead: _ReadAhead | None = None
        self._fresh = fresh = self._deal([])  # of a whole epoch
        self._current = fresh  # of what the finished legs have left of this one
        if self._num_rows < world_size:
            raise ValueError(
                f"more ranks than rows: split {rows.name!r} has {self._num_rows} rows for {world_size} ranks; "
                "use fewer processes or more data"
            )
        if not fresh.steps:
            raise ValueError(
                f"split {rows.name!r} has {self._num_rows} rows, less than one batch of {batch_size} rows on each of "
                f"{world_size} ranks; lower the batch size or use more data"
            )
        if fresh.dropped and rank == 0:
            logger.info(
                "split %r: %d rows make %d batches of %d rows on %d ranks; %d rows of each epoch are left out",
                *(rows.name, self._num_rows, fresh.steps, batch_size, world_size, fresh.dropped),
            )

    @property
    def batches(self) -> int:
        """Batches handed out so far, before restarts included."""
        return self._batches

    @property
    def epoch(self) -> int:
        """The epoch of the next batch, from 0; `epochs` at the end."""
        return self._epoch

    @property
    def rows_dropped(self) -> int:
        """Rows left out so far, of all ranks, because they did not fill a batch on each."""
        return self._rows_dropped

    def __len__(self) -> int:
        """Batches from the first to the last: those handed out and those to come."""
        if self._epoch == self._epochs:
            return self._batches
        later = self._epochs - self._epoch - 1
        return self._batches + self._current.steps - self._steps + later * self._fresh.steps

    def __iter__(self) -> "Stream":
        """Itself: a stream is read once."""
        return self

    def __next__(self) -> Batch:
        """The next batch; errors of reading come out here."""
        if self._epoch == self._epochs:
            self.close()
            raise StopIteration
        if self._ahead is None:
            # The batches to come hold no reference to the stream, so that a forgotten stream ends its thread.
            deals = [self._current, *[self._fresh] * (self._epochs - self._epoch - 1)]
            epochs = list(enumerate(deals, start=self._epoch))
            self._ahead = _ReadAhead(_make_batches(self._rows, self._seed, self._rank, epochs, self._steps), READ_AHEAD)
        try:
            batch = next(self._ahead)
        except BaseException:
            self.close()
            raise
        self._steps += 1
        self._batches += 1
        self._end_epoch_if_done()
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The position of all ranks together, as small JSON; the same on every rank after as many batches."""
        current = Leg(self._world_size, self._batch_size, self._steps)
        legs = [*self._legs, current] if self._steps or self._legs else []
        return {
            **self._identity(),
            "epoch": self._epoch,
            "legs": [[leg.world_size, leg.batch_size, leg.steps] for leg in legs],
            "batches": self._batches,
            "rows_dropped": self._rows_dropped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where the state was taken, on this stream's number of ranks and batch size.

        On the same numbers the batches are those the first run would have seen; on others every remaining row of the
        epoch is dealt anew, once. A state of other data or another order is a ValueError.
        """
        differences = {
            key: (state.get(key), value) for key, value in self._identity().items() if state.get(key) != value
        }
        if differences:
            found = ", ".join(f"{key} was {old!r} and is {new!r}" for key, (old, new) in differences.items())
            raise ValueError(f"the position of split {self._rows.name!r} belongs to another stream: {found}")
        if state["epoch"] > self._epochs:
            raise ValueError(f"the position is in epoch {state['epoch']} of a stream of {self._epochs} epochs")
        self.close()
        self._epoch, self._batches = state["epoch"], state["batches"]
        self._rows_dropped = state["rows_dropped"]
        self._legs, self._steps = [Leg(*leg) for leg in state["legs"]], 0
        if self._legs and (self._legs[-1].world_size, self._legs[-1].batch_size) == (
            self._world_size,
            self._batch_size,
        ):
            self._steps = self._legs.pop().steps
        self._current = self._deal(self._legs)
        self._end_epoch_if_done()

    def close(self) -> None:
        """Ends the background thread. The position stays; the next batch starts a new one."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def __enter__(self) -> "Stream":
        """For `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()

    def _identity(self) -> dict[str, Any]:
        return {
            "split": self._rows.name,
            "rows": self._num_rows,
            "units": len(self._rows.counts),
            "shuffle_seed": self._seed,
            "drop_last": self._drop_last,
            "lanes": self._base_lanes,
        }

    def _deal(self, legs: list[Leg]) -> Deal:
        lanes = self._base_lanes
        return deal_after(self._num_rows, legs, self._world_size, self._batch_size, lanes, self._drop_last)

    def _end_epoch_if_done(self) -> None:
        if self._epoch < self._epochs and self._steps == self._current.steps:
            self._rows_dropped += self._current.dropped
            self._epoch, self._steps, self._legs, self._current = self._epoch + 1, 0, [], self._fresh


def _make_batches(
    rows: SplitRows, seed: int | None, rank: int, epochs: list[tuple[int, Deal]], step: int
) -> Iterator[Batch]:
    """Batches of the given epochs, from `step` of the first on."""
    for epoch, deal in epochs:
        order = EpochOrder(rows.counts, seed, epoch)
        opened: dict[int, tuple[Rows, npt.NDArray[np.int64]]] = {}
        for current in range(step, deal.steps):
            ranges = [piece for interval in deal.pieces(rank, current) for piece in order.locate(interval)]
            used = {unit for unit, _, _ in ranges}
            opened = {unit: item for unit, item in opened.items() if unit in used}  # let go before opening more
            for unit in used - opened.keys():
                opened[unit] = rows.read(unit), order.within(unit, rows.select(unit))
            yield _assemble(rows, [(*opened[unit], first, stop) for unit, first, stop in ranges])
        step = 0


def _assemble(rows: SplitRows, ranges: list[tuple[Rows, npt.NDArray[np.int64], int, int]]) -> Batch:
    """Copies the rows of one batch together."""
    total = sum(stop - first for _, _, first, stop in ranges)
    sample = ranges[0][0] if ranges else rows.read(0)
    dense = np.empty((total, sample.dense.shape[1]), np.float32)  # [B, max(I, 1)]
    ids = np.empty((len(rows.keys), total), np.int64)  # [F, B]
    label = np.empty(total, np.float32)  # [B]
    start = 0
    for unit_rows, order, first, stop in ranges:
        picked, end = order[first:stop], start + stop - first
        dense[start:end] = unit_rows.dense[picked]
        ids[:, start:end] = unit_rows.ids[:, picked]
        label[start:end] = unit_rows.label[picked]
        start = end
    return Batch.of_ids(torch.from_numpy(dense), torch.from_numpy(ids), torch.from_numpy(label), rows.keys)


class _ReadAhead:
    """Runs an iterator in a thread, a few items ahead; its errors come out of `__next__`, its thread ends on close."""

    def __init__(self, items: Iterator[Batch], depth: int) -> None:
        self._queue: queue.Queue[Callable[[], Batch]] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        arguments = (items, self._queue, self._stop)
        self._thread = threading.Thread(target=_fill, args=arguments, name="data-read-ahead", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, _end, self._thread, self._queue, self._stop)

    def __next__(self) -> Batch:
        return self._queue.get()()

    def close(self) -> None:
        self._finalizer()


def _fill(items: Iterator[Batch], filled: "queue.Queue[Callable[[], Batch]]", stop: threading.Event) -> None:
    """The thread: puts a function that gives the next batch, or raises what went wrong."""

    def put(give: Callable[[], Batch]) -> bool:
        while not stop.is_set():
            try:
                filled.put(give, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def failing(error: BaseException) -> Callable[[], Batch]:
        def give() -> Batch:
            raise error

        return give

    try:
        for item in items:
            if not put(lambda item=item: item):  # type: ignore[misc]
                return
        put(failing(AssertionError("more batches asked for than dealt")))
    except BaseException as error:  # whatever it is, it belongs to the reader
        put(failing(error))


def _end(thread: threading.Thread, filled: "queue.Queue[Callable[[], Batch]]", stop: threading.Event) -> None:
    stop.set()
    while not filled.empty():
        filled.get_nowait()
    thread.join()
