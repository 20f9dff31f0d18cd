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
    return Ranking(
        kendall_tau=_estimate(_kendall, ranked, losses, generator),
        spearman=_estimate(_spearman, ranked, losses, generator),
        top1_regret=_estimate(lambda own, loss: regret(own, loss, 1), ranked, losses, generator),
        top3_regret=_estimate(lambda own, loss: regret(own, loss, 3), ranked, losses, generator),
    )


def agreement(first: Values, second: Values, generator: numpy.random.Generator) -> Estimate:
    """Kendall's τ-b between two trainings' losses [K] of the same networks, with its interval."""
    return _estimate(_kendall, first, second, generator)


def _estimate(statistic: Statistic, scores: Values, losses: Values, generator: numpy.random.Generator) -> Estimate:
    found = stats.bootstrap(
        (scores, losses),
        statistic,
        paired=True,
        vectorized=False,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=generator,
    ).confidence_interval
    return Estimate(statistic(scores, losses), float(found.low), float(found.high))


def _kendall(scores: Values, losses: Values) -> float:
    return 0.0 if _is_constant(scores, losses) else float(stats.kendalltau(scores, losses).statistic)


def _spearman(scores: Values, losses: Values) -> float:
    return 0.0 if _is_constant(scores, losses) else float(stats.spearmanr(scores, losses).statistic)


def _is_constant(scores: Values, losses: Values) -> bool:
    """Whether nothing is ranked: all scores are equal, or all losses, as in a resample of one network."""
    return bool((scores == scores[0]).all() or (losses == losses[0]).all())


def regret(scores: Values, losses: Values, top: int) -> float:
    """Loss of the best among the `top` networks with the least scores, less the least loss of all."""
    chosen = numpy.argsort(scores, kind="stable")[:top]
    return float(losses[chosen].min() - losses.min())
