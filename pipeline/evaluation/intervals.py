"""How sure metrics are: standard errors of sorted logits, and the difference to the export's own test figures.

Rows are taken as drawn one by one: where many are of one user or page, the truth is wider. A row is one draw whatever
its weight, so that errors are those of weighted means (the sandwich estimate), larger than if a row of weight 2 were
two rows. N rows, w weight (1 where a log has none), y label, p probability, l log loss of a row; bars are means by
weight.
"""

import math
from collections.abc import Callable

import numpy
from scipy import stats
from scipy.special import expit

from pipeline.run.records.evaluation import Difference, Judged, StandardErrors
from pipeline.run.records.results import Metrics
from pipeline.training.comparison import CONFIDENCE
from pipeline.training.label_logits import LabelLogits
from pipeline.training.metrics import Evaluation

METRICS = ("log_loss", "auc", "normalized_entropy", "calibration")


def judge(rows: Evaluation, test: Metrics | None) -> Judged:
    """The metrics of the rows with their errors, and the differences to the export's test metrics if there are any.

    Raises ValueError for no rows and for logits that are not finite.
    """
    metrics = rows.own_metrics()
    clicked, not_clicked = rows.sorted_logits()
    errors = standard_errors(clicked, not_clicked)
    weights = clicked.total + not_clicked.total
    predicted = (clicked.sum(expit) + not_clicked.sum(expit)) / weights
    found = [] if test is None else [_difference(name, metrics, errors, test) for name in METRICS]
    label_ratio = clicked.total / weights
    return Judged(metrics, errors, label_ratio, predicted, tuple(one for one in found if one is not None))


def _difference(name: str, metrics: Metrics, errors: StandardErrors, test: Metrics) -> Difference | None:
    """A metric less the test rows'. model.json does not say how these spread, so they are taken to spread as the rows
    here do; theirs is then the error here times √(rows here / test rows), and the two add up."""
    here, there, error = (getattr(one, name) for one in (metrics, test, errors))
    if here is None or there is None or error is None:
        return None
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error * math.sqrt(1 + metrics.rows / test.rows)
    return Difference(name, here, there, here - there, here - there - half, here - there + half)


def standard_errors(clicked: LabelLogits, not_clicked: LabelLogits) -> StandardErrors:
    """The standard errors of the metrics of the rows of both labels; at least one row.

    That of a weighted mean x̄ is √(Σ w² (x - x̄)²) / Σ w, for the log loss with N - 1 in the place of N. Calibration
    c = p̄ / ȳ and normalized entropy e = l̄ / H(ȳ) by the delta method: they are means of (p - c y) / ȳ, and of
    (l - e H'(ȳ) y) / H, but for a constant.
    """
    rows, total = len(clicked) + len(not_clicked), clicked.total + not_clicked.total
    loss = (clicked.sum(_loss_if_clicked) + not_clicked.sum(_loss_if_not_clicked)) / total
    squares = _spread(clicked, not_clicked, lambda losses, _: losses - loss)
    log_loss = math.sqrt(squares * rows / max(rows - 1, 1)) / total
    positives = clicked.total
    if not len(clicked):
        return StandardErrors(log_loss, None, None, None)
    mean = positives / total
    ratio = (clicked.sum(expit) + not_clicked.sum(expit)) / positives
    spread = clicked.sum(lambda x: (expit(x) - ratio) ** 2, 2) + not_clicked.sum(lambda x: expit(x) ** 2, 2)
    calibration = math.sqrt(spread) / total / mean
    if not len(not_clicked):
        return StandardErrors(log_loss, None, None, calibration)
    entropy, slope = -mean * math.log(mean) - (1 - mean) * math.log1p(-mean), math.log((1 - mean) / mean)
    tilt = loss / entropy * slope  # e H'(ȳ)
    squares = _spread(clicked, not_clicked, lambda losses, label: losses - loss - tilt * (label - mean))
    return StandardErrors(log_loss, _auc_error(clicked, not_clicked), math.sqrt(squares) / total / entropy, calibration)


def _spread(
    clicked: LabelLogits, not_clicked: LabelLogits, deviation: Callable[[numpy.ndarray, float], numpy.ndarray]
) -> float:
    """Σ w² deviation(log losses, label)²."""
    of_clicked = clicked.sum(lambda x: deviation(_loss_if_clicked(x), 1.0) ** 2, power=2)
    return of_clicked + not_clicked.sum(lambda x: deviation(_loss_if_not_clicked(x), 0.0) ** 2, power=2)


def _loss_if_clicked(logits: numpy.ndarray) -> numpy.ndarray:
    return numpy.asarray(numpy.logaddexp(0.0, -logits))


def _loss_if_not_clicked(logits: numpy.ndarray) -> numpy.ndarray:
    return numpy.asarray(numpy.logaddexp(0.0, logits))


def _auc_error(clicked: LabelLogits, not_clicked: LabelLogits) -> float:
    """DeLong's: the variances, over clicked and over other rows, of the share of the others that a row is ranked above
    (below), each by its number of rows. Neither is empty."""
    variance = 0.0
    for own, others in ((clicked, not_clicked), (not_clicked, clicked)):
        behind = others.cumulated()

        def share(x: numpy.ndarray, others: LabelLogits = others, behind: numpy.ndarray = behind) -> numpy.ndarray:
            below = behind[numpy.searchsorted(others.logits, x, "left")]
            return numpy.asarray((below + behind[numpy.searchsorted(others.logits, x, "right")]) / (2.0 * behind[-1]))

        mean = own.sum(share, exact=False) / own.total
        squares = own.sum(lambda x, share=share, mean=mean: (share(x) - mean) ** 2, 2, exact=False)  # type: ignore[misc]
        variance += squares / own.total**2 * len(own) / max(len(own) - 1, 1)
    return math.sqrt(variance)
