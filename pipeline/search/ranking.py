"""How well cheap scores of networks rank them as training from scratch does, with bootstrap intervals.

K networks; losses and scores are log losses: less is better.
"""

from collections.abc import Callable

import numpy
import numpy.typing as npt
from scipy import stats

from pipeline.run.records.rank_study import Estimate, Ranking

RESAMPLES = 1_000
"""Bootstrap samples of the networks."""
CONFIDENCE = 0.95
"""Of the intervals."""

Values = npt.NDArray[numpy.float64]
Statistic = Callable[[Values, Values], float]
"""(scores [K], losses [K]) → a number."""


def ranking(scores: Values, losses: Values, generator: numpy.random.Generator) -> Ranking:
    """The statistics of scores [K] against losses from scratch [K], with intervals by resampling networks.

    A score that is not finite ranks last. Raises ValueError for fewer than three networks.

    >>> found = ranking(numpy.array([1.0, 2, 3, 4]), numpy.array([0.1, 0.2, 0.4, 0.3]), numpy.random.default_rng(0))
    >>> round(found.kendall_tau.value, 3), round(found.top1_regret.value, 3)
    (0.667, 0.0)
    """
    if len(scores) != len(losses) or len(scores) < 3:
        raise ValueError(f"{len(scores)} scores and {len(losses)} losses; a ranking needs three networks or more")
    finite = numpy.where(numpy.isfinite(scores), scores, numpy.inf)
    ranked = stats.rankdata(finite)  # ranks are all that counts, and infinities have them
    samples = [generator.integers(len(losses), size=len(losses)) for _ in range(RESAMPLES)]

    def estimate(statistic: Statistic) -> Estimate:
        return _estimate(statistic, ranked, losses, samples)

    return Ranking(
        kendall_tau=estimate(_kendall),
        spearman=estimate(lambda own, loss: float(stats.spearmanr(own, loss).statistic)),
        top1_regret=estimate(lambda own, loss: regret(own, loss, 1)),
        top3_regret=estimate(lambda own, loss: regret(own, loss, 3)),
    )


def agreement(first: Values, second: Values, generator: numpy.random.Generator) -> Estimate:
    """Kendall's τ-b between two trainings' losses [K] of the same networks, with its interval."""
    samples = [generator.integers(len(first), size=len(first)) for _ in range(RESAMPLES)]
    return _estimate(_kendall, first, second, samples)


def _estimate(
    statistic: Statistic, scores: Values, losses: Values, samples: list[npt.NDArray[numpy.int64]]
) -> Estimate:
    drawn = numpy.array([statistic(scores[own], losses[own]) for own in samples if len(set(own.tolist())) > 1])
    drawn = drawn[numpy.isfinite(drawn)]  # where all scores drawn are equal there is no correlation
    value = statistic(scores, losses)
    if not len(drawn):
        return Estimate(value, value, value)
    low, high = numpy.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))


def _kendall(scores: Values, losses: Values) -> float:
    found = float(stats.kendalltau(scores, losses).statistic)
    return found if numpy.isfinite(found) else 0.0  # of equal scores nothing is ranked


def regret(scores: Values, losses: Values, top: int) -> float:
    """Loss of the best among the `top` networks with the least scores, less the least loss of all."""
    chosen = numpy.argsort(scores, kind="stable")[:top]
    return float(losses[chosen].min() - losses.min())
