"""How sure metrics are: standard errors of sorted logits, and the difference to the export's own test figures.

Rows are taken as drawn one by one: where many are of one user or page, the truth is wider. N rows, y label, p
probability, l log loss of a row; bars are means.
"""

import math
from collections.abc import Callable

import numpy
import numpy.typing as npt
from scipy import stats
from scipy.special import expit

from pipeline.run.records.evaluation import Difference, Judged, StandardErrors
from pipeline.run.records.results import Metrics
from pipeline.training.comparison import CONFIDENCE
from pipeline.training.metrics import Evaluation

Logits = npt.NDArray[numpy.float32]
METRICS = ("log_loss", "auc", "normalized_entropy", "calibration")
_CHUNK_ROWS = 1 << 20


def judge(rows: Evaluation, test: Metrics | None) -> Judged:
    """The metrics of the rows with their errors, and the differences to the export's test metrics if there are any.

    Raises ValueError for no rows and for logits that are not finite.
    """
    metrics = rows.own_metrics()
    clicked, not_clicked = rows.sorted_logits()
    errors = standard_errors(clicked, not_clicked)
    label_ratio = len(clicked) / metrics.rows
    predicted = (_sum(expit, clicked) + _sum(expit, not_clicked)) / metrics.rows
    found = [] if test is None else [_difference(name, metrics, errors, test) for name in METRICS]
    return Judged(metrics, errors, label_ratio, predicted, tuple(one for one in found if one is not None))


def _difference(name: str, metrics: Metrics, errors: StandardErrors, test: Metrics) -> Difference | None:
    """A metric less the test rows'. model.json does not say how these spread, so they are taken to spread as the rows
    here do; theirs is then the error here times √(rows here / test rows), and the two add up."""
    here, there, error = (getattr(one, name) for one in (metrics, test, errors))
    if here is None or there is None or error is None:
        return None
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error * math.sqrt(1 + metrics.rows / test.rows)
    return Difference(name, here, there, here - there, here - there - half, here - there + half)


def standard_errors(clicked: Logits, not_clicked: Logits) -> StandardErrors:
    """The standard errors of the metrics of float32 logits, each array ascending; at least one row.

    log loss: s(l) / √N. calibration c = p̄ / ȳ and normalized entropy e = l̄ / H(ȳ) by the delta method: the deviation
    of (p - c y) / ȳ, and of (l - e H'(ȳ) y) / H, over √N.
    """
    rows, positives = len(clicked) + len(not_clicked), len(clicked)
    loss, squared = 0.0, 0.0
    for values, sign in ((clicked, -1.0), (not_clicked, 1.0)):
        loss += _sum(lambda x, sign=sign: numpy.logaddexp(0.0, sign * x), values)  # type: ignore[misc]
        squared += _sum(lambda x, sign=sign: numpy.logaddexp(0.0, sign * x) ** 2, values)  # type: ignore[misc]
    log_loss = math.sqrt(max(squared / rows - (loss / rows) ** 2, 0.0) / max(rows - 1, 1))
    if not positives:
        return StandardErrors(log_loss, None, None, None)
    mean = positives / rows
    ratio = (_sum(expit, clicked) + _sum(expit, not_clicked)) / positives
    spread = _sum(lambda x: (expit(x) - ratio) ** 2, clicked) + _sum(lambda x: expit(x) ** 2, not_clicked)
    calibration = math.sqrt(spread / rows / rows) / mean
    if positives == rows:
        return StandardErrors(log_loss, None, None, calibration)
    entropy, slope = -mean * math.log(mean) - (1 - mean) * math.log1p(-mean), math.log((1 - mean) / mean)
    tilt = loss / rows / entropy * slope  # e H'(ȳ)
    of_clicked = _sum(lambda x: numpy.logaddexp(0.0, -x), clicked)
    second = squared - 2 * tilt * of_clicked + tilt**2 * positives
    first = loss - tilt * positives
    normalized = math.sqrt(max(second / rows - (first / rows) ** 2, 0.0) / rows) / entropy
    return StandardErrors(log_loss, _auc_error(clicked, not_clicked), normalized, calibration)


def _auc_error(clicked: Logits, not_clicked: Logits) -> float:
    """DeLong's: the variances, over clicked and over other rows, of the share of the others that a row is ranked above
    (below), each by its number of rows. Both arrays ascending and not empty."""
    variance = 0.0
    for own, others in ((clicked, not_clicked), (not_clicked, clicked)):

        def share(x: numpy.ndarray, others: Logits = others) -> numpy.ndarray:
            below = numpy.searchsorted(others, x, "left") + numpy.searchsorted(others, x, "right")
            return numpy.asarray(below / (2.0 * len(others)))

        mean = _sum(share, own, exact=False) / len(own)
        squares = _sum(lambda x, share=share, mean=mean: (share(x) - mean) ** 2, own, exact=False)  # type: ignore[misc]
        variance += squares / max(len(own) - 1, 1) / len(own)
    return math.sqrt(variance)


def _sum(function: Callable[[numpy.ndarray], numpy.ndarray], values: Logits, exact: bool = True) -> float:
    """Sum of function(value), a chunk at a time; in float64 but where equal float32 are looked for (`exact` off)."""
    chunks = (values[start : start + _CHUNK_ROWS] for start in range(0, len(values), _CHUNK_ROWS))
    return math.fsum(function(chunk.astype(numpy.float64) if exact else chunk).sum() for chunk in chunks)
