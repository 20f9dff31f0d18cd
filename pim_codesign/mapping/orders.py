"""Orders in which digital logic that all stages share may work on them: list schedules of nominal durations."""

import heapq
from collections.abc import Sequence


def list_order(
    names: Sequence[str], depends: Sequence[tuple[int, ...]], crossbar_ns: Sequence[float], digital_ns: Sequence[float]
) -> tuple[int, ...]:
    """Stages by when their digital work is ready, then by the longest way to the end, then by name.

    A stage is crossbar work, then digital work, and begins when those that it depends on, which stand before it, have
    ended; none stands before one of these in the order. The order of independent stages in the arguments is no part of
    the outcome, for names differ.

    >>> list_order(["lookup", "slow", "fast"], [(), (0,), (0,)], [0, 9, 2], [0, 1, 1])
    (0, 2, 1)
    """
    count = len(names)
    ready, end, tail = [0.0] * count, [0.0] * count, [0.0] * count
    after: list[list[int]] = [[] for _ in names]
    for index, earlier in enumerate(depends):
        ready[index] = max((end[before] for before in earlier), default=0.0) + crossbar_ns[index]
        end[index] = ready[index] + digital_ns[index]
        for before in earlier:
            after[before].append(index)
    for index in reversed(range(count)):
        longest = max((crossbar_ns[later] + tail[later] for later in after[index]), default=0.0)
        tail[index] = digital_ns[index] + longest
    waits = [len(earlier) for earlier in depends]
    heap = [(ready[index], -tail[index], names[index], index) for index in range(count) if not waits[index]]
    heapq.heapify(heap)
    order = []
    while heap:
        index = heapq.heappop(heap)[-1]
        order.append(index)
        for later in after[index]:
            waits[later] -= 1
            if not waits[later]:
                heapq.heappush(heap, (ready[later], -tail[later], names[later], later))
    return tuple(order)
