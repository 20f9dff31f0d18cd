"""The one rule for which mapping is chosen."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from pipeline.run.records.codesign import LOG_LOSS_TOLERANCE, Codesign, MappedPoint

COSTS = st.floats(0.1, 10.0)


def point(log_loss: float | None, energy_nj: float, latency_us: float) -> MappedPoint:
    """A mapping with these figures."""
    return MappedPoint("m", log_loss, latency_us, 1.0, energy_nj, 1.0, 0.0, 1.0, 0.5, 1, {}, (), {}, {})


NAIVE = point(0.5, 9.0, 9.0)


def codesign(*pareto: MappedPoint, naive: MappedPoint = NAIVE) -> Codesign:
    """A co-design with these Pareto points."""
    return Codesign("winner_1", 100, 0.49, "isaac32", {}, 5, pareto, pareto, naive, (), ())


@given(st.lists(st.builds(point, st.floats(0.499, 0.503), COSTS, COSTS), min_size=1))
def test_the_chosen_mapping(pareto: list[MappedPoint]) -> None:
    """Of the points within the tolerance the least energy × latency; if there are none, the least log loss."""
    chosen = codesign(*pareto).chosen
    good = [one for one in pareto if one.log_loss is not None and one.log_loss <= 0.5 + LOG_LOSS_TOLERANCE]
    if good:
        assert chosen in good
        assert chosen.energy_nj * chosen.latency_us == min(one.energy_nj * one.latency_us for one in good)
    else:
        assert chosen.log_loss == min(one.log_loss for one in pareto if one.log_loss is not None)


def test_the_least_of_a_cost_is_acceptable_too() -> None:
    """A cheap mapping of too high a log loss is never shown as the least in energy."""
    good, bad = point(0.5005, 2.0, 8.0), point(0.6, 0.1, 0.1)
    assert codesign(good, bad).least(lambda one: one.energy_nj) is good
    assert codesign(bad).least(lambda one: one.energy_nj) is bad


def test_without_measurements_or_points() -> None:
    """Without measured log losses costs alone decide; without Pareto points the naive mapping is the chosen one."""
    unmeasured = point(None, 1.0, 1.0), point(None, 2.0, 2.0)
    assert codesign(*unmeasured).chosen is unmeasured[0]
    assert codesign(*unmeasured, naive=dataclasses.replace(NAIVE, log_loss=None)).chosen is unmeasured[0]
    assert codesign().chosen is NAIVE
