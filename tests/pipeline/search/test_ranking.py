"""pipeline/search/ranking.py: statistics against scipy and by hand, intervals against draws whose truth is known."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.search.ranking import agreement, ranking, regret


def drawn(seed: int, count: int = 20, noise: float = 0.5) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Losses, and scores that are losses with noise."""
    generator = numpy.random.default_rng(seed)
    losses = generator.normal(0.47, 0.01, count)
    return losses + noise * generator.normal(0, 0.01, count), losses


@settings(max_examples=3)
@given(st.integers(0, 1000), st.integers(3, 30))
def test_correlations_are_scipys(seed: int, count: int) -> None:
    """Of all networks; and the intervals hold them, inside −1 and 1."""
    scores, losses = drawn(seed, count)
    found = ranking(scores, losses, numpy.random.default_rng(0))
    assert found.kendall_tau.value == pytest.approx(stats.kendalltau(scores, losses).statistic)
    assert found.spearman.value == pytest.approx(stats.spearmanr(scores, losses).statistic)
    for one in (found.kendall_tau, found.spearman):
        assert -1 <= one.low <= one.high <= 1


def test_regret_by_hand() -> None:
    """The best of the chosen less the best of all."""
    scores, losses = numpy.array([3.0, 1.0, 2.0, 4.0]), numpy.array([0.1, 0.4, 0.3, 0.2])
    assert regret(scores, losses, 1) == pytest.approx(0.3)
    assert regret(scores, losses, 2) == pytest.approx(0.2)
    assert regret(scores, losses, 3) == 0


def test_a_failed_score_ranks_last() -> None:
    """Whatever is not finite is worse than every score, and draws nothing down."""
    losses = numpy.array([0.1, 0.2, 0.3, 0.4])
    for failed in (numpy.nan, numpy.inf):
        found = ranking(numpy.array([1.0, 2.0, 3.0, failed]), losses, numpy.random.default_rng(0))
        assert found.kendall_tau.value == pytest.approx(1)


def test_equal_scores_rank_nothing() -> None:
    """They have τ 0, not none."""
    found = ranking(numpy.ones(5), numpy.arange(5.0), numpy.random.default_rng(0))
    assert (found.kendall_tau.value, found.kendall_tau.low, found.kendall_tau.high) == (0, 0, 0)


def test_the_interval_holds_the_truth() -> None:
    """The τ of a large population lies in about 95 % of the intervals from 40 networks, and in no less than 80 %."""
    scores, losses = drawn(0, 4000)
    truth = float(stats.kendalltau(scores, losses).statistic)
    generator, inside, draws = numpy.random.default_rng(1), 0, 20
    for _ in range(draws):
        own = generator.choice(len(losses), 40, replace=False)
        found = agreement(scores[own], losses[own], generator)
        inside += found.low <= truth <= found.high
    assert inside / draws >= 0.8


def test_too_few_networks() -> None:
    """Two networks, or scores of others, are refused."""
    with pytest.raises(ValueError, match="three networks or more"):
        ranking(numpy.ones(2), numpy.ones(2), numpy.random.default_rng(0))
