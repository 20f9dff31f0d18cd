"""Two models compared on the same rows: the difference of their mean log losses with an interval over rows and seeds.

R rows, S seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
"""Of the interval."""


@dataclass(frozen=True)
class Interval:
    """A difference of mean log losses, nats per row."""

    difference: float
    """Mean of the first less mean of the second."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end."""


def compare(first: Sequence[npt.NDArray[numpy.float64]], second: Sequence[npt.NDArray[numpy.float64]]) -> Interval:
    """The difference of two models' log losses, each given per seed and row ([R] a seed), with its 95 % interval.

    Two sources of luck add up: which rows were tested (the rows' paired differences, averaged over seeds) and which
    seeds were drawn (the variance of each model's mean over seeds). With one seed a model, the
    interval is over rows alone.
    """
    rows = numpy.mean(first, axis=0) - numpy.mean(second, axis=0)  # [R]
    difference = float(rows.mean())
    of_rows = float(rows.var(ddof=1)) / len(rows) if len(rows) > 1 else 0.0
    variances = [
        (float(numpy.var([one.mean() for one in model], ddof=1)), len(model))
        for model in (first, second)
        if len(model) > 1
    ]
    of_seeds = sum(variance / count for variance, count in variances)
    # Welch and Satterthwaite's degrees of freedom: the rows are so many that theirs do not matter
    weights = sum((variance / count) ** 2 / (count - 1) for variance, count in variances)
    degrees = (of_rows + of_seeds) ** 2 / weights if weights > 0 else math.inf
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * math.sqrt(of_rows + of_seeds)
    return Interval(difference, difference - half, difference + half)
