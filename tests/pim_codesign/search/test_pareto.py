"""Dominance and spread against brute force."""

import numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pim_codesign.search.pareto import non_dominated, spread

POINTS = arrays(numpy.float64, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.integers(0, 5).map(float))


@given(POINTS)
def test_non_dominated_is_what_brute_force_says(points: numpy.ndarray) -> None:
    """A row is kept when no row is at least as good everywhere and better somewhere; of equal rows the first."""
    expected = [
        i
        for i, row in enumerate(points)
        if not any((other <= row).all() and (other < row).any() for other in points)
        and not any((other == row).all() for other in points[:i])
    ]
    assert non_dominated(points).tolist() == expected


@given(POINTS, st.integers(1, 50), st.data())
def test_spread_takes_different_rows_and_keeps_the_named(
    points: numpy.ndarray, count: int, data: st.DataObject
) -> None:
    """As many rows as asked for or all, none twice, the kept ones among them."""
    keep = data.draw(st.lists(st.integers(0, len(points) - 1), max_size=count, unique=True))
    taken = spread(points, count, keep)
    assert len(taken) == len(set(taken)) == min(count, len(points))
    assert set(keep) <= set(taken)
