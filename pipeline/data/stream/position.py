"""Which rows each rank gets at each step, as arithmetic on intervals: no communication, no state but a few integers.

The rows of an epoch stand in one order of positions 0 … rows - 1, the same for every rank. A deal cuts what remains of
it into equal stretches, the lanes; a rank owns neighbouring lanes and takes a few rows of each at every step. So ranks
read disjoint row groups, rows from distant places meet in a batch, and with lanes in a number that the world sizes
divide, two ranks with batches of B rows see together what one rank with batches of 2 B sees.

What has been handed out follows from the number of steps alone. A restart on another number of ranks deals the rest
anew: the position is the list of legs (world_size, batch_size, steps) of the epoch.

W ranks, B rows a rank's batch, G = W B rows a step, L lanes, S full steps.
"""

import dataclasses
import math

Interval = tuple[int, int]
"""Positions start, …, stop - 1."""


@dataclasses.dataclass(frozen=True)
class Deal:
    """The intervals that remain of an epoch, dealt to W ranks.

    >>> deal = Deal(((0, 10),), world_size=2, batch_size=2, base_lanes=2, drop_last=False)
    >>> [[deal.pieces(rank, step) for rank in range(2)] for step in range(deal.steps)]
    [[[(0, 2)], [(4, 6)]], [[(2, 4)], [(6, 8)]], [[(8, 9)], [(9, 10)]]]
    >>> deal.remaining(1)
    ((2, 4), (6, 10))
    """

    intervals: tuple[Interval, ...]
    """What remains, ascending and disjoint."""
    world_size: int
    """W."""
    batch_size: int
    """B."""
    base_lanes: int
    """Lanes on one rank; L is the least common multiple of it and W."""
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
        """A tail with fewer rows than ranks rides in the last full step, as torchrec cannot look up an empty batch.

        Only where nothing but such a tail remains (a restart just before the end) do some ranks get 0 rows.
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
            lanes = self._lanes // self.world_size
            for lane in range(rank * lanes, (rank + 1) * lanes):
                start, rows = self._lane(lane)
                pieces += self._slice(start + step * rows, start + (step + 1) * rows)
        return pieces + self.tail_pieces(rank) if step == self.steps - 1 else pieces

    def stretches(self, rank: int, step: int) -> list[tuple[list[Interval], int]]:
        """What `pieces` hands out from `step` on but for the tail: each lane's rest, and its rows a step."""
        lanes = self._lanes // self.world_size
        stretches = []
        for lane in range(rank * lanes, (rank + 1) * lanes):
            start, rows = self._lane(lane)
            stretches.append((self._slice(start + step * rows, start + self.full_steps * rows), rows))
        return stretches

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
        for lane in range(self._lanes):
            start, rows = self._lane(lane)
            pieces += self._slice(start + min(steps, self.full_steps) * rows, start + self.full_steps * rows)
        pieces += self._slice(self.full_steps * self.step_rows, self.rows)
        return _joined(pieces)

    @property
    def _lanes(self) -> int:
        return math.lcm(self.base_lanes, self.world_size)

    def _lane(self, lane: int) -> Interval:
        """Where a lane starts among the remaining rows, and its rows a step. A rank's lanes have B rows together."""
        first, last = (number * self.step_rows // self._lanes for number in (lane, lane + 1))
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
class Leg:
    """A stretch of an epoch on one number of ranks."""

    world_size: int
    batch_size: int
    steps: int


def deal_after(rows: int, legs: list[Leg], world_size: int, batch_size: int, base_lanes: int, drop_last: bool) -> Deal:
    """The deal of what finished legs have left of an epoch of `rows` rows."""
    intervals: tuple[Interval, ...] = ((0, rows),) if rows else ()
    for leg in legs:
        intervals = Deal(intervals, leg.world_size, leg.batch_size, base_lanes, drop_last).remaining(leg.steps)
    return Deal(intervals, world_size, batch_size, base_lanes, drop_last)
