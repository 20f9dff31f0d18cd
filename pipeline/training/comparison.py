"""Two models compared on the same rows: the difference of their mean log losses with an interval over rows and seeds.

Rows with weights count by them in the means. A row is one draw whatever its weight: the interval is that of a weighted
mean of rows drawn one by one (the sandwich estimate), wider than if a row of weight 2 were two rows.

R rows, S seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import numpy.typing as npt
from scipy import stats

from pipeline.training.row_weights import factors

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


def compare(
    first: Sequence[npt.NDArray[numpy.float64]],
    second: Sequence[npt.NDArray[numpy.float64]],
    *,
    weights: npt.NDArray[numpy.float32] | None = None,
) -> Interval:
    """The difference of two models' log losses, each given per seed and row ([R] a seed), with its 95 % interval.
    `weights`: what the rows count for [R].

    Two sources of luck add up: which rows were tested (the rows' paired differences, averaged over seeds) and which
    seeds were drawn. Seeds are paired too: both models' trainings with one seed read the rows in the same order and
    start from the same tables, so that a seed that is bad for one tends to be bad for the other. With one seed the
    interval is over rows alone.
    """
    assert len(first) == len(second), "models are compared seed by seed"
    paired = numpy.subtract(first, second)  # [S, R]
    own = factors(weights)
    counted = numpy.ones(paired.shape[1]) if own is None else own
    rows, seeds = paired.mean(axis=0), (counted * paired).mean(axis=1)
    difference = float((counted * rows).mean())
    squares = float(((counted * (rows - difference)) ** 2).sum())
    of_rows = squares / (len(rows) - 1) / len(rows) if len(rows) > 1 else 0.0
    of_seeds = float(seeds.var(ddof=1)) / len(seeds) if len(seeds) > 1 else 0.0
    # Welch and Satterthwaite's degrees of freedom: the rows are so many that theirs do not matter
    degrees = (len(seeds) - 1) * (of_rows + of_seeds) ** 2 / of_seeds**2 if of_seeds > 0 else math.inf
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * math.sqrt(of_rows + of_seeds)
    return Interval(difference, difference - half, difference + half)
