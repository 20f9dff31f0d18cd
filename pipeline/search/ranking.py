"""How well cheap scores of networks rank them as training from scratch does, with bootstrap intervals.

K networks; losses and scores are log losses: less is better.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy
import numpy.typing as npt
from scipy import stats

RESAMPLES = 2_000
"""Bootstrap samples of the networks."""
CONFIDENCE = 0.95
"""Of the intervals."""

Values = npt.NDArray[numpy.float64]
Statistic = Callable[[Values, Values], float]
"""(scores [K], losses [K]) → a number."""


@dataclass(frozen=True)
class Estimate:
    """A statistic of the networks studied, with its interval over the draw of networks."""

    value: float
    """Of all networks."""
    low: float
    """Lower end of the 95 % bootstrap interval."""
    high: float
    """Its upper end."""


@dataclass(frozen=True)
class Ranking:
    """How a score ranks networks."""

    kendall_tau: Estimate
    """Kendall's τ-b with the losses from scratch, −1 to 1."""
    spearman: Estimate
    """Spearman's ρ, −1 to 1."""
    top1_regret: Estimate
    """Loss from scratch of the network with the best score, less that of the best network, nats per row, ≥ 0."""
    top3_regret: Estimate
    """The same for the best of the three best-scored networks, which is what a search that trains three loses."""


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
        drawn = numpy.array([statistic(ranked[own], losses[own]) for own in samples])
        drawn = drawn[numpy.isfinite(drawn)]  # of one network drawn K times there is no correlation
        low, high = numpy.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return Estimate(statistic(ranked, losses), float(low), float(high))

    return Ranking(
        kendall_tau=estimate(lambda own, loss: float(stats.kendalltau(own, loss).statistic)),
        spearman=estimate(lambda own, loss: float(stats.spearmanr(own, loss).statistic)),
        top1_regret=estimate(lambda own, loss: regret(own, loss, 1)),
        top3_regret=estimate(lambda own, loss: regret(own, loss, 3)),
    )


def regret(scores: Values, losses: Values, top: int) -> float:
    """Loss of the best among the `top` networks with the least scores, less the least loss of all."""
    chosen = numpy.argsort(scores, kind="stable")[:top]
    return float(losses[chosen].min() - losses.min())
