"""pipeline/training/comparison.py: the interval against scipy's tests and against draws whose truth is known."""

import numpy
import pytest
from scipy import stats

from pipeline.training.comparison import compare


def test_one_seed_is_the_paired_test() -> None:
    """With one training a model the interval is that of the paired t-test over rows (which has so many rows that its
    quantile is the normal one)."""
    generator = numpy.random.default_rng(0)
    first, second = generator.normal(0.5, 1, 5000), generator.normal(0.48, 1, 5000)
    found = compare([first], [second])
    paired = stats.ttest_rel(first, second)
    interval = paired.confidence_interval(0.95)
    assert found.difference == pytest.approx(float((first - second).mean()))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-4)


def test_seeds_alone_are_the_paired_test() -> None:
    """Where rows do not differ at all, the interval is that of the paired t-test over the seeds' means."""
    first, second = [0.50, 0.52, 0.51], [0.49, 0.48, 0.50]
    found = compare(*([numpy.full(100, value) for value in model] for model in (first, second)))
    interval = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_what_a_seed_does_to_both_models_cancels() -> None:
    """Seeds that move both models alike widen no interval."""
    rows = numpy.random.default_rng(0).random(50)
    found = compare([rows, rows + 0.1], [rows + 0.01, rows + 0.11])
    assert (found.low, found.high) == (pytest.approx(-0.01), pytest.approx(-0.01))


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_interval_covers_the_truth(seeds: int) -> None:
    """Draws with luck of rows (shared by both models) and of seeds: the true difference lies in about 95 % of the
    intervals, and in no less than 92 %."""
    generator, inside, draws = numpy.random.default_rng(1), 0, 600
    for _ in range(draws):
        rows = generator.normal(0, 1, 400)
        own = rows + generator.normal(0, 0.2, 400)
        other = rows + generator.normal(0, 0.2, 400) + 0.05
        first, second = ([model + generator.normal(0, 0.02) for _ in range(seeds)] for model in (own, other))
        found = compare(first, second)
        inside += found.low <= -0.05 <= found.high
    assert 0.92 < inside / draws <= 1.0


def test_identical_models() -> None:
    """No difference, no interval."""
    rows = numpy.random.default_rng(0).random(50)
    found = compare([rows, rows], [rows, rows])
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)
