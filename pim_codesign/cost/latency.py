"""When the last stage ends, where one digital logic serves all stages.

A stage is crossbar work, then digital work. Crossbar work of parallel branches overlaps; the lanes are shared, so a
stage's digital work waits while another's is done. P points, T stages.
"""

from collections.abc import Sequence

import numpy

from pim_codesign.cost.columns import Floats
from pim_codesign.mapping.workload import Stage, Workload


def shared_latency_ns(workload: Workload, crossbar_ns: Floats, digital_ns: Floats) -> Floats:
    """When the last stage ends where all share the lanes: the best of a few orders of digital work. [P, T] each -> [P]

    The lanes work in an order that is fixed before the chip runs, as a compiler emits it; each is one in which the
    stages can run, so its end is one that the chip can reach. A fixed order ends no earlier when a part takes longer,
    which ordering by arrival does not promise (Graham, SIAM J. Appl. Math. 1969).
    """
    best: Floats | None = None
    for order in workload.digital_orders:
        found = _in_order(workload.stages, order, crossbar_ns, digital_ns)
        best = found if best is None else numpy.minimum(best, found)
    assert best is not None
    return best


def _in_order(stages: Sequence[Stage], order: Sequence[int], crossbar_ns: Floats, digital_ns: Floats) -> Floats:
    end: dict[int, Floats] = {}
    free: Floats | None = None  # when the lanes have done what stands before in the order
    for index in order:
        stage, own = stages[index], crossbar_ns[:, index]
        ready = own if not stage.depends else own + _latest([end[before] for before in stage.depends])
        if stage.has_digital_work:
            free = ready if free is None else numpy.maximum(ready, free)
            free = ready = free + digital_ns[:, index]
        end[index] = ready
    return _latest(list(end.values()))


def _latest(ends: Sequence[Floats]) -> Floats:
    latest = ends[0]
    for end in ends[1:]:
        latest = numpy.maximum(latest, end)
    return latest


def critical_path(workload: Workload, crossbar_ns: Floats, digital_ns: Floats) -> list[tuple[int, float, float]]:
    """The stages that `shared_latency_ns` of one point comes from, first to last, and the time that each adds.

    [1, T] each -> (stage, its time in crossbars, its time in digital logic), whose sum is the latency. Of a stage that
    waited for the lanes only the digital time is on the way, behind the stage that held them.
    """
    crossbar, digital = crossbar_ns[0].tolist(), digital_ns[0].tolist()
    ways = [_walk(workload.stages, order, crossbar, digital) for order in workload.digital_orders]
    return min(ways, key=lambda way: sum(a + b for _, a, b in way))


def _walk(
    stages: Sequence[Stage], order: Sequence[int], crossbar: Sequence[float], digital: Sequence[float]
) -> list[tuple[int, float, float]]:
    end: dict[int, float] = {}
    way: dict[int, list[tuple[int, float, float]]] = {}
    holder: int | None = None  # the stage that had the lanes last
    for index in order:
        before = max(stages[index].depends, key=lambda earlier: end[earlier], default=None)
        ready = (0.0 if before is None else end[before]) + crossbar[index]
        way[index] = [] if before is None else list(way[before])
        if stages[index].has_digital_work and holder is not None and end[holder] > ready:
            ready, way[index] = end[holder], [*way[holder], (index, 0.0, digital[index])]
        else:
            way[index].append((index, crossbar[index], digital[index]))
        end[index] = ready + digital[index]
        if stages[index].has_digital_work:
            holder = index
    return way[max(order, key=lambda index: end[index])]
