"""Reliability: rows in deciles of their prediction, and how far mean prediction and label ratio lie apart in each."""

from collections.abc import Sequence

import numpy
import numpy.typing as npt
from scipy.special import expit

from pipeline.run.records.evaluation import ReliabilityBin

BINS = 10
"""Deciles."""
_CHUNK_ROWS = 1 << 20

Logits = npt.NDArray[numpy.float32]


def reliability(clicked: Logits, not_clicked: Logits, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Bins of about equally many rows, ascending; the logits of clicked and other rows ascending, at least one row.

    Bin k ends at the row of rank ⌈k N / bins⌉, and with it all rows of the same logit; bins without rows are left out.

    >>> found = reliability(numpy.float32([0.0, 2.0]), numpy.float32([-2.0, 0.0]), bins=2)
    >>> [(one.rows, round(one.mean_prediction, 3), one.label_ratio) for one in found]
    [(3, 0.373, 0.3333333333333333), (1, 0.881, 1.0)]
    """
    rows = len(clicked) + len(not_clicked)
    ranks = numpy.ceil(numpy.arange(1, bins + 1) * rows / bins).astype(numpy.int64) - 1
    both = numpy.concatenate([clicked, not_clicked])
    both.sort(kind="stable")  # two ascending runs
    ends = both[ranks]
    del both
    places = [numpy.searchsorted(own, ends, "right") for own in (clicked, not_clicked)]
    found, before = list[ReliabilityBin](), (0, 0)
    for stops in zip(*(place.tolist() for place in places), strict=True):
        parts = [own[first:stop] for own, first, stop in zip((clicked, not_clicked), before, stops, strict=True)]
        if any(map(len, parts)):
            found.append(_bin(parts[0], parts[1]))
        before = stops
    return tuple(found)


def _bin(clicked: Logits, not_clicked: Logits) -> ReliabilityBin:
    """One bin's rows, each array ascending, not both empty."""
    held = [own for own in (clicked, not_clicked) if len(own)]
    low, high = min(own[0] for own in held), max(own[-1] for own in held)
    rows = len(clicked) + len(not_clicked)
    predicted = sum(
        float(expit(own[start : start + _CHUNK_ROWS].astype(numpy.float64)).sum())
        for own in held
        for start in range(0, len(own), _CHUNK_ROWS)
    )
    return ReliabilityBin(
        float(expit(float(low))), float(expit(float(high))), rows, predicted / rows, len(clicked) / rows
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean over rows of their bin's distance between mean prediction and label ratio."""
    rows = sum(one.rows for one in bins)
    return sum(one.rows * abs(one.mean_prediction - one.label_ratio) for one in bins) / rows
