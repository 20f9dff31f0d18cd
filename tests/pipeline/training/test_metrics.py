"""The final metrics against scipy, torch, brute force and a real process group."""

import json
import os
from pathlib import Path
from typing import Any

import numpy
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.run.records.codec import from_plain, to_plain
from pipeline.run.records.results import Metrics
from pipeline.training.diverged import Diverged
from pipeline.training.metrics import Evaluation

FEW_LOGITS = st.integers(-6, 6).map(lambda value: value / 2)  # few values, so that many tie
ROWS = st.lists(st.tuples(FEW_LOGITS, st.integers(0, 1)), min_size=1, max_size=60)


def judge(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> Metrics:
    """The metrics of one batch."""
    evaluation = Evaluation()
    evaluation.add(logits, labels, weights)
    return evaluation.metrics()


def judge_weighted(rows: numpy.ndarray) -> Metrics:
    """The metrics of rows [R, 3] of logit, label and weight, in two batches."""
    evaluation = Evaluation()
    for part in (rows[:2], rows[2:]):
        evaluation.add(*torch.from_numpy(part.T.astype(numpy.float32)))
    return evaluation.own_metrics()


@given(st.lists(st.tuples(FEW_LOGITS, st.integers(0, 1), st.integers(1, 4)), min_size=1, max_size=40))
def test_a_row_of_weight_two_is_there_twice(rows: list[tuple[float, int, int]]) -> None:
    """The metrics of rows with weights are those of the log with each row as often as its weight, whatever the
    weights' scale and the order of the rows; weights of 1 are none, bit for bit."""
    own = numpy.array(rows, float)
    found, repeated = judge_weighted(own), own.repeat(own[:, 2].astype(int), axis=0)
    expected = judge(*torch.from_numpy(repeated[:, :2].T.astype(numpy.float32)))
    for name in ("log_loss", "auc", "normalized_entropy", "calibration"):
        wanted, here = getattr(expected, name), getattr(found, name)
        assert here is wanted is None or here == pytest.approx(wanted, rel=1e-12), name
        scaled = getattr(judge_weighted(own * [1, 1, 0.3]), name)
        assert scaled is here is None or scaled == pytest.approx(here, rel=1e-6), name
    assert found.rows == len(rows) and judge_weighted(own[::-1]) == found
    repeated[:, 2] = 1
    assert judge_weighted(repeated) == expected


@given(ROWS)
def test_auc_is_the_share_of_pairs_won(rows: list[tuple[float, int]]) -> None:
    """Over all pairs of a clicked and an unclicked row: 1 where the clicked one is above, ½ where they tie."""
    logits = torch.tensor([logit for logit, _ in rows])
    labels = torch.tensor([label for _, label in rows])
    pairs = [(c > n) + 0.5 * (c == n) for c in logits[labels == 1].tolist() for n in logits[labels == 0].tolist()]
    auc = judge(logits, labels).auc
    if not pairs:
        assert auc is None
    else:
        assert auc == pytest.approx(sum(pairs) / len(pairs), rel=1e-15)


def test_auc_equals_scipy_with_mid_ranks() -> None:
    """On 20,000 rows with ties in float32: scipy's Mann-Whitney U over the number of pairs."""
    generator = numpy.random.default_rng(3)
    labels = generator.random(20_000) < 0.25
    logits = numpy.round(generator.normal(labels * 0.8, 1.0) * 64) / 64  # exact in float32
    statistic = scipy.stats.mannwhitneyu(logits[labels], logits[~labels]).statistic
    expected = statistic / (labels.sum() * (~labels).sum())
    assert judge(torch.from_numpy(logits), torch.from_numpy(labels).float()).auc == pytest.approx(expected, rel=1e-14)


@given(ROWS)
def test_log_loss_entropy_and_calibration_equal_their_definitions(rows: list[tuple[float, int]]) -> None:
    """Against torch's binary cross entropy in float64 and the formulas written out."""
    logits = torch.tensor([logit for logit, _ in rows], dtype=torch.float64)
    labels = torch.tensor([label for _, label in rows], dtype=torch.float64)
    found = judge(logits, labels)
    log_loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).item()
    assert found.log_loss == pytest.approx(log_loss, rel=1e-14)
    assert found.rows == len(rows)
    rate = labels.mean()
    if 0 < rate < 1:
        base = torch.nn.functional.binary_cross_entropy(rate.expand(len(rows)), labels).item()
        assert found.normalized_entropy == pytest.approx(log_loss / base, rel=1e-13)
    else:
        assert found.normalized_entropy is None
    if rate > 0:
        assert found.calibration == pytest.approx((logits.sigmoid().mean() / rate).item(), rel=1e-14)
    else:
        assert found.calibration is None


def test_extreme_logits_keep_their_loss() -> None:
    """A logit of ±200 on the wrong side costs 200 nats; on the right side next to nothing, but not less than it."""
    found = judge(torch.tensor([200.0, -200.0]), torch.tensor([0.0, 1.0]))
    assert found.log_loss == 200.0
    right = judge(torch.tensor([50.0, -50.0]), torch.tensor([1.0, 0.0]))
    assert right.log_loss == pytest.approx(numpy.exp(-50.0), rel=1e-12)


@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 7))
def test_order_and_batches_do_not_matter(rows: list[tuple[float, int]], order, size: int) -> None:  # type: ignore[no-untyped-def]
    """The same rows in another order and other batches give the same metrics to the last bit."""
    shuffled = rows.copy()
    order.shuffle(shuffled)
    evaluation = Evaluation()
    for start in range(0, len(rows), size):
        part = shuffled[start : start + size]
        evaluation.add(torch.tensor([row[0] for row in part]), torch.tensor([row[1] for row in part]))
    assert evaluation.metrics() == judge(torch.tensor([r[0] for r in rows]), torch.tensor([r[1] for r in rows]))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_only(label: float) -> None:
    """AUC and normalized entropy are None, the rest is there, and JSON holds it."""
    found = judge(torch.tensor([0.5, -0.5]), torch.full((2,), label))
    assert found.auc is None
    assert found.normalized_entropy is None
    assert found.log_loss > 0
    assert (found.calibration is None) == (label == 0)
    assert from_plain(json.loads(json.dumps(to_plain(found), allow_nan=False)), Metrics, "here") == found


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([1.0, 0.0], [0.0, 0.5], r"a label is 0\.5"),
        ([1.0, 0.0], [0.0], "both must be"),
    ],
)
def test_what_cannot_be_judged(logits: list[float], labels: list[float], message: str) -> None:
    """Labels other than 0 and 1 and unequal lengths are ValueErrors."""
    with pytest.raises(ValueError, match=message):
        judge(torch.tensor(logits), torch.tensor(labels))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_diverged_logits(bad: float) -> None:
    """One logit that is not finite, in any batch, is Diverged, which names it."""
    evaluation = Evaluation()
    for logits in ([0.5, 1.0], [bad, 0.0], [2.0, 3.0]):
        evaluation.add(torch.tensor(logits), torch.tensor([0.0, 1.0]))
    with pytest.raises(Diverged, match=f"a logit is {bad}: the model has diverged"):
        evaluation.metrics()


@given(ROWS)
def test_sorted_logits(rows: list[tuple[float, int]]) -> None:
    """Those of clicked and of other rows, each ascending, before and after the metrics are asked for; rows that come
    later are among them."""
    evaluation = Evaluation()
    for logit, label in rows:
        evaluation.add(torch.tensor([logit]), torch.tensor([float(label)]))
        evaluation.sorted_logits()
    for _ in range(2):
        clicked, not_clicked = evaluation.sorted_logits()
        assert clicked.logits.tolist() == sorted(logit for logit, label in rows if label)
        assert not_clicked.logits.tolist() == sorted(logit for logit, label in rows if not label)
        evaluation.own_metrics()
    evaluation.add(torch.tensor([float("nan")]), torch.tensor([0.0]))
    with pytest.raises(Diverged):
        evaluation.sorted_logits()


def test_no_rows() -> None:
    """Without rows there is nothing to say."""
    with pytest.raises(ValueError, match="no rows"):
        Evaluation().metrics()


def rows_of(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of `count` rows, the same in every process."""
    generator = torch.Generator().manual_seed(4)
    labels = (torch.rand(count, generator=generator) < 0.3).float()
    return torch.randn(count, generator=generator) + labels, labels


WORKER = """
import json, sys, torch
from torch import distributed as dist
from pipeline.run.records.codec import to_plain
from pipeline.training.metrics import Evaluation
file, rank, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{file}.rendezvous", rank=rank, world_size=size)
for columns in torch.load(file):
    evaluation = Evaluation()
    evaluation.add(*(column[rank::size] for column in columns))
    try:
        print(json.dumps(to_plain(evaluation.metrics())))
    except ValueError as error:
        print(json.dumps([type(error).__name__, str(error)]))
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_find_what_one_finds(ready: Any, tmp_path: Path) -> None:
    """Two real gloo processes that share 10,001 rows, with weights and without, one row and none: on both the metrics
    of one process that has them all, bit for bit; a rank without rows takes part. Without any rows, and where the
    second rank's only row has diverged, both get the error and none hangs."""
    weights = torch.rand(10_001, generator=torch.Generator().manual_seed(5)) + 0.1
    splits: list[tuple[torch.Tensor, ...]] = [rows_of(10_001), (*rows_of(10_001), weights), rows_of(1)]
    splits += [(*rows_of(1), torch.ones(1)), rows_of(0), (torch.tensor([0.0, torch.nan]), torch.tensor([0.0, 1.0]))]
    torch.save(splits, tmp_path / "rows.pt")
    found = ready.run([(WORKER, [str(tmp_path / "rows.pt"), str(rank), "2"], os.environ) for rank in range(2)])
    expected = [
        *(to_plain(judge(*columns)) for columns in splits[:4]),
        ["ValueError", "no rows to evaluate; the split is empty"],
        ["Diverged", "a logit is nan: the model has diverged; train it with a lower learning rate"],
    ]
    for process in found:
        assert [json.loads(line) for line in process.stdout.splitlines()[-6:]] == expected, process.stderr
