"""Batches of one split in a seeded order, with a position from which any number of ranks can resume.

The order of an epoch: sequences of units (row groups; compressed text files) in a seeded shuffle, the rows of each unit
in a seeded shuffle, and shards of this order assigned to ranks as `position.py` says. The open units of all shards are
the shuffle's window. Without a seed: the order of the files, one shard per rank.
"""

import logging
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.data.batch import Batch
from pipeline.data.formats.features import Columns, Rows
from pipeline.data.stream.background import Background
from pipeline.data.stream.position import Assignment, Interval, Segment, assignment_after
from pipeline.data.stream.read_ahead import Read, batches_ahead

logger = logging.getLogger(__name__)

MAX_SHARDS = 8
"""Shards of one rank, and so units open at once: the rows of a batch come from so many places."""
MAX_READY = 8
"""Finished batches that wait for training."""


class SplitRows(Protocol):
    """What a stream reads: the units (row groups, blocks of lines) of one split."""

    @property
    def name(self) -> str:
        """train, valid or test."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the categorical columns."""

    @property
    def dense_width(self) -> int:
        """max(I, 1)."""

    @property
    def id_places(self) -> tuple[int, ...]:
        """Ids of each categorical column that a decoded row has room for [F]; more than 1 of lists."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Rows of the split in each unit."""

    @property
    def sequences(self) -> npt.NDArray[np.int64]:
        """The sequence of each unit, ascending; units of one sequence are read one after the other."""

    @property
    def row_bytes(self) -> int:
        """Bytes of a decoded row."""

    def select(self, unit: int) -> npt.NDArray[np.int64] | None:
        """Which of the unit's rows belong to the split; None: all."""

    def read(self, unit: int, order: npt.NDArray[np.int64] | None) -> Rows | Columns:
        """The rows of the unit with the given numbers, in that order; None: all."""


class EpochOrder:
    """Position → (unit, row): the order of one epoch."""

    def __init__(self, rows: SplitRows, seed: int | None, epoch: int) -> None:
        self.rows, self.seed, self.epoch = rows, seed, epoch
        self.units = np.arange(len(rows.counts))
        if seed is not None:
            sequences, of_unit = np.unique(rows.sequences, return_inverse=True)
            place = _generator(seed, epoch, 0).permutation(len(sequences))  # of each sequence
            self.units = np.argsort(place[of_unit], kind="stable")
            self._shuffled = _generator(seed, epoch, 1).permutation(int(rows.counts.max()))
        self.stops = np.cumsum(rows.counts[self.units])  # position behind the last row of each unit, in this order

    def locate(self, intervals: list[Interval]) -> Iterator[tuple[int, int, int]]:
        """(unit, first, stop): the intervals as ranges within the orders of their units."""
        for position, stop in intervals:
            place = int(np.searchsorted(self.stops, position, side="right"))
            while position < stop:
                start = int(self.stops[place - 1]) if place else 0
                end = min(stop, int(self.stops[place]))
                if position < end:
                    yield int(self.units[place]), position - start, end - start
                position, place = end, place + 1

    def read(self, unit: int) -> Rows | Columns:
        """The unit's rows in their order."""
        selected = self.rows.select(unit)
        if self.seed is None:
            return self.rows.read(unit, selected)
        order = self._shuffle(unit)
        return self.rows.read(unit, order if selected is None else selected[order])

    def _shuffle(self, unit: int) -> npt.NDArray[np.int64]:
        """All units share one permutation, begun at another place in each: drawing one per unit would take a tenth
        of the time of reading it."""
        assert self.seed is not None
        rows = int(self.rows.counts[unit])
        start = int(_generator(self.seed, self.epoch, 2 + unit).integers(len(self._shuffled)))
        order = np.concatenate([self._shuffled[start:], self._shuffled[:start]])
        return order if rows == len(order) else order[order < rows]


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


class Stream(Iterator[Batch]):
    """One rank's batches of a split over some epochs. `len` and the position are the same on every rank.

    Batches are made ahead in threads, within `ahead_bytes` of memory; the position counts those handed out. `close` (or
    a `with` block, or the end of the stream) ends the threads.
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
        ahead_bytes: int = 96 * 2**20,
        threads: int = 1,
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
        self._ahead_bytes, self._threads = ahead_bytes, threads
        self._shards = 1 if shuffle_seed is None else _shards_per_rank(rows, ahead_bytes)
        self._epoch, self._steps, self._batches, self._rows_dropped = 0, 0, 0, 0
        self._segments: list[Segment] = []  # of the current epoch
        self._ahead: Background[Batch] | None = None
        self._fresh = fresh = self._assign([])  # of a whole epoch
        self._current = fresh  # of what the finished segments have left of this epoch
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
        """Batches handed out so far, those before resuming included."""
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
            assignments = [self._current, *[self._fresh] * (self._epochs - self._epoch - 1)]
            epochs = list(enumerate(assignments, start=self._epoch))
            plan = _plan(self._rows, self._seed, self._rank, epochs, self._steps)
            self._ahead = self._start(plan)
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
        current = Segment(self._world_size, self._batch_size, self._steps)
        segments = [*self._segments, current] if self._steps or self._segments else []
        return {
            **self._identity(),
            "epoch": self._epoch,
            "segments": [[done.world_size, done.batch_size, done.steps] for done in segments],
            "batches": self._batches,
            "rows_dropped": self._rows_dropped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes where the state was taken, on this stream's number of ranks and batch size.

        With the same numbers the batches are those that the first run would have seen; with others every remaining row
        of the epoch is assigned anew, once. A state of other data or another order is a ValueError.
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
        self._segments, self._steps = [Segment(*done) for done in state["segments"]], 0
        last = self._segments[-1] if self._segments else None
        if last and (last.world_size, last.batch_size) == (self._world_size, self._batch_size):
            self._steps = self._segments.pop().steps
        self._current = self._assign(self._segments)
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
            "shards_per_rank": self._shards,
        }

    def _start(self, plan: Iterator[list[Read]]) -> Background[Batch]:
        batch_bytes = self._batch_size * self._rows.row_bytes
        ready = max(1, min(MAX_READY, self._ahead_bytes // (8 * batch_bytes)))
        budget = self._ahead_bytes - ready * batch_bytes
        widths = (self._rows.keys, self._rows.dense_width)
        batches = batches_ahead(plan, *widths, budget, self._threads, self._rows.id_places)
        return Background(batches, ready)

    def _assign(self, segments: list[Segment]) -> Assignment:
        sizes = (self._world_size, self._batch_size, self._shards)
        return assignment_after(self._num_rows, segments, *sizes, self._drop_last)

    def _end_epoch_if_done(self) -> None:
        if self._epoch < self._epochs and self._steps == self._current.steps:
            self._rows_dropped += self._current.dropped
            self._epoch, self._steps, self._segments, self._current = self._epoch + 1, 0, [], self._fresh


def _shards_per_rank(rows: SplitRows, ahead_bytes: int) -> int:
    """As many as may be open in half of the memory; 1 where a shard would have to read all that lies before it."""
    if len(np.unique(rows.sequences)) < len(rows.sequences):
        return 1
    return max(1, min(MAX_SHARDS, ahead_bytes // 2 // (int(rows.counts.max()) * rows.row_bytes)))


def _plan(
    rows: SplitRows, seed: int | None, rank: int, epochs: list[tuple[int, Assignment]], step: int
) -> Iterator[list[Read]]:
    """What each batch of the given epochs is made of, from `step` of the first on."""
    for epoch, assignment in epochs:
        order = EpochOrder(rows, seed, epoch)
        shards = [(_Shard(order.locate(places)), step_rows) for places, step_rows in assignment.shards(rank, step)]
        for current in range(step, assignment.steps):
            is_full = current < assignment.full_steps
            ranges = [piece for shard, step_rows in shards if is_full for piece in shard.take(step_rows)]
            if current == assignment.steps - 1:
                ranges += order.locate(assignment.tail_pieces(rank))
            yield [
                Read((epoch, unit), order.read, int(rows.counts[unit]) * rows.row_bytes, first, stop)
                for unit, first, stop in ranges
            ]
        step = 0


class _Shard:
    """The ranges of a shard, handed out some rows at a time."""

    def __init__(self, ranges: Iterator[tuple[int, int, int]]) -> None:
        self._ranges = ranges
        self._unit, self._first, self._stop = 0, 0, 0

    def take(self, rows: int) -> Iterator[tuple[int, int, int]]:
        """The next `rows` rows."""
        while rows:
            if self._first == self._stop:
                self._unit, self._first, self._stop = next(self._ranges)
            first, self._first = self._first, min(self._stop, self._first + rows)
            rows -= self._first - first
            yield self._unit, first, self._first
