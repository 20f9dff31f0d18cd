"""Dominance: one point dominates another when it is at least as good in everything and better in something.

Smaller is better. P points, M objectives.
"""

import numpy
from numpy.typing import NDArray
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

Floats = NDArray[numpy.float64]


def non_dominated(objectives: Floats) -> NDArray[numpy.int64]:
    """Ascending indices of the non-dominated points of [P, M]; of equal points only the first.

    >>> non_dominated(numpy.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]])).tolist()
    [0, 1]
    """
    _, first = numpy.unique(objectives, axis=0, return_index=True)
    first = numpy.sort(first)
    front = NonDominatedSorting().do(objectives[first], only_non_dominated_front=True)
    return numpy.sort(first[front])


def spread(objectives: Floats, count: int, keep: list[int]) -> list[int]:
    """Indices of `count` points of [P, M] far from each other: those of `keep`, then the farthest from all taken.

    Distances are in objectives scaled to [0, 1]. With at most `count` points, all of them are returned.
    """
    if len(objectives) <= count:
        return list(range(len(objectives)))
    low, high = objectives.min(axis=0), objectives.max(axis=0)
    scaled = (objectives - low) / numpy.where(high > low, high - low, 1)
    taken = list(dict.fromkeys(keep))[:count] or [0]
    distance = numpy.min([numpy.linalg.norm(scaled - scaled[row], axis=1) for row in taken], axis=0)
    while len(taken) < count:
        distance[taken] = -1
        taken.append(int(distance.argmax()))
        distance = numpy.minimum(distance, numpy.linalg.norm(scaled - scaled[taken[-1]], axis=1))
    return sorted(taken)
