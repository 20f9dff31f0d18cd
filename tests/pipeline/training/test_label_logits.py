"""pipeline/training/label_logits.py: sums over rows with weights against numpy's, in any order."""

from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.label_logits import LabelLogits

ROWS = st.lists(st.tuples(st.integers(-4, 4), st.integers(1, 5)), max_size=30)


@given(ROWS, st.randoms(use_true_random=False))
def test_sums(rows: list[tuple[int, int]], random: Any) -> None:
    """Σ w f(x) and Σ w² f(x), totals and what lies before each row; the same to the last bit in any order."""
    x, w = (numpy.array([row[place] for row in rows], numpy.float32) for place in range(2))
    found = LabelLogits.of(x, w / numpy.float32(3))
    assert found.logits.tolist() == sorted(x.tolist()) and len(found) == len(rows)
    assert found.total == pytest.approx(w.sum() / 3, rel=1e-6) and found.squares == pytest.approx(
        (w**2).sum() / 9, rel=1e-6
    )
    for power in (1, 2):
        expected = float(((w / 3.0) ** power * numpy.cos(x.astype(float))).sum())
        assert found.sum(numpy.cos, power) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert found.cumulated()[-1] == pytest.approx(found.total, rel=1e-6) and found.cumulated()[0] == 0
    order = numpy.arange(len(rows))
    random.shuffle(order)
    other = LabelLogits.of(x[order], (w / numpy.float32(3))[order])
    assert numpy.array_equal(other.weights, found.weights) and other.sum(numpy.cos) == found.sum(numpy.cos)


@given(ROWS)
def test_weights_of_one_are_none(rows: list[tuple[int, int]]) -> None:
    """All sums have the same bits."""
    x = numpy.array([row[0] / 7 for row in rows], numpy.float32)
    ones, none = LabelLogits.of(x.copy(), numpy.ones(len(x), numpy.float32)), LabelLogits.of(x.copy(), None)
    assert ones.sum(numpy.exp) == none.sum(numpy.exp) and ones.sum(numpy.exp, 2) == none.sum(numpy.exp, 2)
    assert (ones.total, ones.squares) == (none.total, none.squares) == (len(x), len(x))
    assert numpy.array_equal(ones.cumulated(), none.cumulated())
