"""Reliability: rows in deciles of their prediction, and how far mean prediction and label ratio lie apart in each.

Deciles and means are by the rows' weights, which are 1 where a log has none.
"""

import numpy
from scipy.special import expit

from pipeline.run.records.evaluation import ReliabilityBin
from pipeline.training.label_logits import LabelLogits

BINS = 10
"""Deciles."""


def reliability(
    clicked: LabelLogits, not_clicked: LabelLogits, bins: int = BINS
) -> tuple[tuple[ReliabilityBin, ...], float]:
    """Bins of about equal weight W / bins, ascending, and the expected calibration error: the mean over rows of their
    bin's distance between mean prediction and label ratio. At least one row.

    Bin k ends at the first row with which k W / bins is reached, and with it all rows of the same logit; bins without
    rows are left out.

    >>> rows = [LabelLogits.of(numpy.float32(one), None) for one in ([0.0, 2.0], [-2.0, 0.0])]
    >>> found, error = reliability(*rows, bins=2)
    >>> [(one.rows, round(one.mean_prediction, 3), one.label_ratio) for one in found], round(error, 3)
    ([(3, 0.373, 0.3333333333333333), (1, 0.881, 1.0)], 0.06)
    """
    both, behind = _together(clicked, not_clicked)
    wanted = numpy.arange(1, bins + 1) * behind[-1] / bins
    ends = both[numpy.minimum(numpy.searchsorted(behind, wanted, "left"), len(both) - 1)]
    del both, behind
    places = [numpy.searchsorted(own.logits, ends, "right").tolist() for own in (clicked, not_clicked)]
    found, error, before = list[ReliabilityBin](), 0.0, (0, 0)
    for stops in zip(*places, strict=True):
        parts = [own.part(first, stop) for own, first, stop in zip((clicked, not_clicked), before, stops, strict=True)]
        if any(map(len, parts)):
            found.append(_bin(parts[0], parts[1]))
            weight = parts[0].total + parts[1].total
            error += weight * abs(found[-1].mean_prediction - found[-1].label_ratio)
        before = stops
    return tuple(found), error / (clicked.total + not_clicked.total)


def _together(clicked: LabelLogits, not_clicked: LabelLogits) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The logits of all rows, ascending, and the weight of all rows up to each [N]."""
    both = numpy.concatenate([clicked.logits, not_clicked.logits])
    if clicked.weights is None or not_clicked.weights is None:
        both.sort(kind="stable")  # two ascending runs
        return both, numpy.arange(1.0, len(both) + 1)
    order = both.argsort(kind="stable")
    return both[order], numpy.cumsum(numpy.concatenate([clicked.weights, not_clicked.weights])[order], dtype=float)


def _bin(clicked: LabelLogits, not_clicked: LabelLogits) -> ReliabilityBin:
    """One bin's rows, not both empty."""
    held = [own.logits for own in (clicked, not_clicked) if len(own)]
    low, high = min(own[0] for own in held), max(own[-1] for own in held)
    rows, weight = len(clicked) + len(not_clicked), clicked.total + not_clicked.total
    predicted = clicked.sum(expit) + not_clicked.sum(expit)
    return ReliabilityBin(
        float(expit(float(low))), float(expit(float(high))), rows, predicted / weight, clicked.total / weight
    )
