"""pipeline/evaluation/reliability.py: deciles of the prediction against the rows sorted by it."""

import itertools

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from pipeline.evaluation.reliability import reliability
from pipeline.training.label_logits import LabelLogits

FEW = st.one_of(
    st.integers(-6, 6).map(lambda value: value / 2), st.integers(-8_000, 8_000).map(lambda value: value / 1_000)
)
ROWS = st.lists(st.tuples(FEW, st.integers(0, 1)), min_size=1, max_size=80)


@given(ROWS, st.integers(1, 12))
def test_bins(rows: list[tuple[float, int]], bins: int) -> None:
    """Bins ascend, hold every row once and equal predictions together, with the means of the rows in them; without ties
    none differs from its share by a row or more. The error is the mean distance over rows."""
    x, y = (numpy.array(column) for column in zip(*rows, strict=True))
    x = x.astype(numpy.float32)
    found, error = reliability(LabelLogits.of(x[y == 1], None), LabelLogits.of(x[y == 0], None), bins)
    p, seen, distance = expit(x.astype(numpy.float64)), 0, 0.0
    for one in found:
        inside = (p >= one.low) & (p <= one.high)
        assert inside.sum() == one.rows
        assert one.mean_prediction == pytest.approx(p[inside].mean(), rel=1e-12)
        assert one.label_ratio == pytest.approx(y[inside].mean(), rel=1e-12)
        distance += abs(p[inside].sum() - y[inside].sum())
        seen += one.rows
    assert seen == len(x) and all(a.high < b.low for a, b in itertools.pairwise(found))
    assert error == pytest.approx(distance / len(x), rel=1e-9, abs=1e-12)
    if len(set(x.tolist())) == len(x) and len(x) >= bins:
        assert len(found) == bins and all(abs(one.rows - len(x) / bins) < 1 for one in found)


def test_the_order_of_rows_does_not_matter() -> None:
    """Only which rows there are: the same bins to the last bit whichever rows were first."""
    generator = numpy.random.default_rng(0)
    x, y = generator.normal(size=5_000).astype(numpy.float32), generator.random(5_000) < 0.3
    first = reliability(LabelLogits.of(x[y], None), LabelLogits.of(x[~y], None))
    order = generator.permutation(5_000)
    x, y = x[order], y[order]
    assert reliability(LabelLogits.of(x[y], None), LabelLogits.of(x[~y], None)) == first
