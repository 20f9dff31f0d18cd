"""Which rows each rank gets at each step, as arithmetic on intervals: no communication, no state but a few integers.

The rows of an epoch stand in one order of positions 0 … rows - 1, the same for every rank. An assignment cuts what
remains of it into equal contiguous shards; a rank owns neighbouring shards and takes a few rows of each at every step.
So ranks read disjoint row groups, rows from distant places meet in a batch, and if the world sizes divide the number of
shards, two ranks with batches of B rows see together what one rank with batches of 2 B sees.

What has been handed out follows from the number of steps alone. When training resumes on another number of ranks, the
rows that remain are assigned anew: the position is the list of segments (world_size, batch_size, steps) of the epoch.

W ranks, B rows per batch of a rank, G = W B rows per step, L shards, S full steps.
"""

import dataclasses
import math

Interval = tuple[int, int]
"""Positions start, …, stop - 1."""


@dataclasses.dataclass(frozen=True)
class Assignment:
    """The intervals that remain of an epoch, assigned to W ranks.

    >>> assignment = Assignment(((0, 10),), world_size=2, batch_size=2, shards_per_rank=2, drop_last=False)
    >>> [[assignment.pieces(rank, step) for rank in range(2)] for step in range(assignment.steps)]
    [[[(0, 2)], [(4, 6)]], [[(2, 4)], [(6, 8)]], [[(8, 9)], [(9, 10)]]]
    >>> assignment.remaining(1)
    ((2, 4), (6, 10))
    """

    intervals: tuple[Interval, ...]
    """What remains, ascending and disjoint."""
    world_size: int
    """W."""
    batch_size: int
    """B."""
    shards_per_rank: int
    """Shards of one rank alone; L is the least common multiple of it and W."""
    drop_last: bool
    """Leave out the rows after the last full step."""

    @property
    def rows(self) -> int:
        """Rows that remain."""
        return sum(stop - start for start, stop in self.intervals)

    @property
    def step_rows(self) -> int:
        """G."""
        return self.world_size * self.batch_size

    @property
    def full_steps(self) -> int:
        """S, steps in which every rank gets B rows."""
        return self.rows // self.step_rows

    @property
    def tail(self) -> int:
        """Rows after the last full step."""
        return self.rows - self.full_steps * self.step_rows

    @property
    def tail_has_its_own_step(self) -> bool:
        """A tail with fewer rows than ranks joins the last full step, as torchrec cannot look up an empty batch.

        Only where nothing but such a tail remains (after resuming just before the end) do some ranks get 0 rows.
        """
        return not self.drop_last and self.tail > 0 and (self.tail >= self.world_size or not self.full_steps)

    @property
    def steps(self) -> int:
        """Batches of every rank."""
        return self.full_steps + int(self.tail_has_its_own_step)

    @property
    def dropped(self) -> int:
        """Rows left out at the end."""
        return self.tail if self.drop_last else 0

    def pieces(self, rank: int, step: int) -> list[Interval]:
        """The positions of one rank's batch."""
        if not 0 <= step < self.steps:
            raise IndexError(step)
        pieces: list[Interval] = []
        if step < self.full_steps:
            for shard in self._shards_of(rank):
                start, rows = self._shard(shard)
                pieces += self._slice(start + step * rows, start + (step + 1) * rows)
        return pieces + self.tail_pieces(rank) if step == self.steps - 1 else pieces

    def shards(self, rank: int, step: int) -> list[tuple[list[Interval], int]]:
        """What `pieces` hands out from `step` on but for the tail: the rest of each shard, and its rows per step."""
        shards = []
        for shard in self._shards_of(rank):
            start, rows = self._shard(shard)
            shards.append((self._slice(start + step * rows, start + self.full_steps * rows), rows))
        return shards

    def tail_pieces(self, rank: int) -> list[Interval]:
        """The rank's share of the tail, which the last step hands out."""
        if self.drop_last:
            return []
        start = self.full_steps * self.step_rows
        low, high = (start + self.tail * r // self.world_size for r in (rank, rank + 1))
        return self._slice(low, high)

    def remaining(self, steps: int) -> tuple[Interval, ...]:
        """What is left, of all ranks together, after `steps` steps of each."""
        if steps >= self.steps:
            return ()
        pieces: list[Interval] = []
        for shard in range(self._num_shards):
            start, rows = self._shard(shard)
            pieces += self._slice(start + min(steps, self.full_steps) * rows, start + self.full_steps * rows)
        pieces += self._slice(self.full_steps * self.step_rows, self.rows)
        return _joined(pieces)

    @property
    def _num_shards(self) -> int:
        """L."""
        return math.lcm(self.shards_per_rank, self.world_size)

    def _shards_of(self, rank: int) -> range:
        """The numbers of a rank's shards."""
        owned = self._num_shards // self.world_size
        return range(rank * owned, (rank + 1) * owned)

    def _shard(self, shard: int) -> tuple[int, int]:
        """Where a shard starts among the remaining rows, and its rows per step. A rank's have B rows together."""
        first, last = (number * self.step_rows // self._num_shards for number in (shard, shard + 1))
        return first * self.full_steps, last - first

    def _slice(self, low: int, high: int) -> list[Interval]:
        """The remaining rows number low, …, high - 1 as intervals of positions."""
        pieces, before = [], 0
        for start, stop in self.intervals:
            first, last = max(start, start + low - before), min(stop, start + high - before)
            if first < last:
                pieces.append((first, last))
            before += stop - start
        return pieces


def _joined(pieces: list[Interval]) -> tuple[Interval, ...]:
    """Ascending intervals with neighbours that touch made one."""
    joined: list[Interval] = []
    for start, stop in pieces:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return tuple(joined)


@dataclasses.dataclass(frozen=True)
class Segment:
    """The steps of an epoch that were taken on one number of ranks, with one batch size."""

    world_size: int
    """W."""
    batch_size: int
    """B."""
    steps: int
    """Steps of each rank, 0 or more."""


def assignment_after(
    rows: int, segments: list[Segment], world_size: int, batch_size: int, shards_per_rank: int, drop_last: bool
) -> Assignment:
    """The assignment of what finished segments have left of an epoch of `rows` rows."""
    intervals: tuple[Interval, ...] = ((0, rows),) if rows else ()
    for done in segments:
        finished = Assignment(intervals, done.world_size, done.batch_size, shards_per_rank, drop_last)
        intervals = finished.remaining(done.steps)
    return Assignment(intervals, world_size, batch_size, shards_per_rank, drop_last)
