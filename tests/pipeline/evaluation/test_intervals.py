"""pipeline/evaluation/intervals.py: standard errors against their formulas row by row and against resampled rows."""

import math

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from pipeline.evaluation.intervals import METRICS, judge, standard_errors
from pipeline.run.records.results import Metrics
from pipeline.training.label_logits import LabelLogits
from pipeline.training.metrics import Evaluation

FEW = st.integers(-6, 6).map(lambda value: value / 2)
ROWS = st.lists(st.tuples(FEW, st.integers(0, 1)), min_size=2, max_size=60)


def collected(logits: numpy.ndarray, labels: numpy.ndarray) -> Evaluation:
    """The rows as the program collects them."""
    rows = Evaluation()
    rows.add(torch.from_numpy(logits.astype(numpy.float32)), torch.from_numpy(labels.astype(numpy.float32)))
    return rows


@given(ROWS)
def test_formulas(rows: list[tuple[float, int]]) -> None:
    """Each error is that of the mean of a row's influence, written out over all rows; DeLong's of all pairs."""
    x, y = (numpy.array(column, numpy.float64) for column in zip(*rows, strict=True))
    n, p = len(x), expit(x)
    loss = numpy.logaddexp(0.0, numpy.where(y > 0, -x, x))
    clicked, others = numpy.sort(x[y > 0]).astype("f4"), numpy.sort(x[y == 0]).astype("f4")
    found = standard_errors(LabelLogits.of(clicked, None), LabelLogits.of(others, None))
    assert found.log_loss == pytest.approx(loss.std(ddof=1) / math.sqrt(n), abs=1e-7)
    rate = y.mean()
    if rate == 0:
        assert (found.auc, found.normalized_entropy, found.calibration) == (None, None, None)
        return
    influence = (p - p.mean() / rate * y) / rate
    assert found.calibration == pytest.approx(influence.std() / math.sqrt(n), rel=1e-9, abs=1e-12)
    if rate == 1:
        assert (found.auc, found.normalized_entropy) == (None, None)
        return
    entropy = -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)
    influence = (loss - loss.mean() / entropy * math.log((1 - rate) / rate) * y) / entropy
    assert found.normalized_entropy == pytest.approx(influence.std() / math.sqrt(n), abs=1e-6)
    wins = (clicked[:, None] > others) + 0.5 * (clicked[:, None] == others)
    variance = sum(
        (share - share.mean()) @ (share - share.mean()) / max(len(share) - 1, 1) / len(share)
        for share in (wins.mean(axis=1), wins.mean(axis=0))
    )
    assert found.auc == pytest.approx(math.sqrt(variance), rel=1e-9, abs=1e-12)


def test_resampled_rows() -> None:
    """Drawn anew 400 times from a population, the metrics of 3,000 rows spread as the errors of one draw say."""
    generator = numpy.random.default_rng(2)

    def draw() -> Evaluation:
        x = generator.normal(-1, 1.2, 3_000)
        return collected(x, generator.random(3_000) < expit(0.8 * x + 0.1))

    metrics = [draw().own_metrics() for _ in range(400)]
    errors = judge(draw(), None).errors
    for name in METRICS:
        spread = numpy.std([getattr(one, name) for one in metrics])
        assert getattr(errors, name) == pytest.approx(spread, rel=0.12), name


def test_differences_hold_zero_as_often_as_they_say() -> None:
    """Of two draws of one population, of unequal size, the second judged against the first's metrics: the 95 % interval
    of every difference holds zero in about 95 % of 400 pairs."""
    generator = numpy.random.default_rng(3)

    def draw(rows: int) -> Evaluation:
        x = generator.normal(-1, 1.2, rows)
        return collected(x, generator.random(rows) < expit(x))

    held = dict.fromkeys(METRICS, 0)
    for _ in range(400):
        judged = judge(draw(600), draw(1_500).own_metrics())
        for one in judged.differences:
            held[one.metric] += one.is_chance
            assert one.difference == one.here - one.export and one.low < one.difference < one.high
    assert all(0.92 * 400 <= count <= 0.98 * 400 for count in held.values()), held


def test_what_is_judged() -> None:
    """The metrics are `Evaluation`'s, with label ratio and mean prediction; a metric that one side lacks has no
    difference, and without test metrics there is none at all."""
    x, y = numpy.array([0.5, -1.0, 2.0, 0.0]), numpy.array([0, 0, 1, 1])
    judged = judge(collected(x, y), Metrics(0.5, None, None, 1.0, 100))
    assert judged.metrics == collected(x, y).own_metrics()
    assert judged.label_ratio == 0.5 and judged.mean_prediction == pytest.approx(expit(x).mean(), rel=1e-15)
    assert [one.metric for one in judged.differences] == ["log_loss", "calibration"]
    assert judged.difference("auc") is None and judge(collected(x, y), None).differences == ()
