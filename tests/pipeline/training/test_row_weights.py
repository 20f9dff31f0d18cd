"""What rows count for, where losses are means over rows: a row of weight 2 against the row twice."""

import math
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.evaluation.groups import NumberSums, row_sums
from pipeline.evaluation.intervals import standard_errors
from pipeline.evaluation.reliability import reliability
from pipeline.run.processes import join
from pipeline.search.head_fit import Reading
from pipeline.search.head_rows import HeadRows, piece_sums
from pipeline.search.published import PublishedHead
from pipeline.training.comparison import compare
from pipeline.training.label_logits import LabelLogits
from pipeline.training.platt_scaling import fitted
from pipeline.training.row_logits import RowLogits, averaged
from pipeline.training.row_weights import batch_factors, factors, tensor_factors

SEEDS = st.integers(0, 10_000)


def drawn(seed: int, rows: int = 60) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Logits, labels and whole weights [R], both labels among them."""
    draw = numpy.random.default_rng(seed)
    labels = draw.integers(0, 2, rows).astype(numpy.float32)
    labels[:2] = 0, 1
    logits = draw.normal(-0.5, 2, rows).round(1).astype(numpy.float32)
    return logits, labels, draw.integers(1, 4, rows).astype(numpy.float32)


def both(logits: numpy.ndarray, labels: numpy.ndarray, weights: numpy.ndarray | None) -> list[LabelLogits]:
    """Clicked and other rows."""
    masks = (labels == 1, labels == 0)
    return [LabelLogits.of(logits[mask], None if weights is None else weights[mask]) for mask in masks]


def test_factors() -> None:
    """Their mean is 1, whatever the weights' scale; weights of 1 are factors of exactly 1; no weights are none."""
    with join("cpu") as processes:
        for scale in (1.0, 3.0, 1e-6):
            weight = torch.tensor([1.0, 3.0, 4.0]) * scale
            for found in (batch_factors(weight, processes), tensor_factors(weight), factors(weight.numpy())):
                assert numpy.asarray(found) == pytest.approx([0.375, 1.125, 1.5], rel=1e-6)
        ones = torch.ones(7)
        assert torch.equal(batch_factors(ones, processes), ones) and torch.equal(tensor_factors(ones), ones)
        assert batch_factors(None, processes) is tensor_factors(None) is factors(None) is None


@given(SEEDS)
def test_scaling(seed: int) -> None:
    """The Platt scaling of rows with weights is that of the rows repeated; weights of 1 change no bit."""
    logits, labels, weights = drawn(seed, 200)
    which = numpy.arange(200).repeat(weights.astype(int))
    found, expected = (
        fitted(RowLogits(logits, labels, weights), "here"),
        fitted(RowLogits(logits[which], labels[which]), ""),
    )
    assert (found.scale, found.bias) == pytest.approx((expected.scale, expected.bias), rel=1e-4, abs=1e-4)
    ones = fitted(RowLogits(logits, labels, numpy.ones(200, numpy.float32)), "here")
    assert ones == fitted(RowLogits(logits, labels), "here")


def test_logits_keep_their_weights(tmp_path: Path) -> None:
    """Written, read, averaged with another training's and rescaled, they are the rows' own."""
    logits, labels, weights = drawn(0)
    rows = RowLogits(logits, labels, weights)
    path = tmp_path / "logits.npy"
    rows.write(path)
    for found in (RowLogits.read(path), averaged([rows, rows]), fitted(rows, "here").of(rows)):
        assert found.weights is not None and numpy.array_equal(found.weights, weights)
    RowLogits(logits, labels).write(path)
    assert RowLogits.read(path).weights is None


@given(SEEDS)
@settings(max_examples=20)
def test_intervals(seed: int) -> None:
    """A difference is the weighted mean; its interval that of a mean of rows drawn one by one: what a jackknife over
    rows finds. Weights of 1 change no bit."""
    draw, (_, _, weights) = numpy.random.default_rng(seed), drawn(seed)
    first, second = draw.random(60), draw.random(60)
    found = compare([first], [second], weights=weights)
    gap = first - second
    assert found.difference == pytest.approx(numpy.average(gap, weights=weights), rel=1e-9, abs=1e-12)
    left_out = [numpy.average(numpy.delete(gap, row), weights=numpy.delete(weights, row)) for row in range(60)]
    jackknife = math.sqrt(59 * numpy.var(left_out))
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(jackknife, rel=0.1)
    assert compare([first], [second], weights=numpy.ones(60, numpy.float32)) == compare([first], [second])


@given(SEEDS)
@settings(max_examples=10)
def test_standard_errors(seed: int) -> None:
    """Those of log loss, calibration, entropy and AUC, each near what a jackknife over rows finds; weights of 1 are
    none."""
    logits, labels, weights = drawn(seed, 150)
    found = standard_errors(*both(logits, labels, weights))
    losses = numpy.logaddexp(0.0, numpy.where(labels > 0, -logits, logits).astype(float))

    def figures(rows: numpy.ndarray) -> list[float]:
        own, y, w = logits[rows].astype(float), labels[rows], weights[rows]
        rate = numpy.average(y, weights=w)
        loss = numpy.average(losses[rows], weights=w)
        entropy = -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)
        clicked, others = y == 1, y == 0
        wins = (own[clicked][:, None] > own[others]) + 0.5 * (own[clicked][:, None] == own[others])
        auc = w[clicked] @ wins @ w[others] / w[clicked].sum() / w[others].sum()
        return [loss, numpy.average(1 / (1 + numpy.exp(-own)), weights=w) / rate, loss / entropy, auc]

    left_out = [figures(numpy.delete(numpy.arange(150), row)) for row in range(150)]
    expected = numpy.sqrt(149 * numpy.var(left_out, axis=0))
    errors = (found.log_loss, found.calibration, found.normalized_entropy, found.auc)
    assert errors == pytest.approx(tuple(expected), rel=0.1)
    ones = numpy.ones(150, numpy.float32)
    assert standard_errors(*both(logits, labels, ones)) == standard_errors(*both(logits, labels, None))


@given(SEEDS, st.integers(1, 12))
def test_reliability(seed: int, bins: int) -> None:
    """The bins of rows with weights are those of the rows repeated, but for how many rows they hold."""
    logits, labels, weights = drawn(seed)
    which = numpy.arange(60).repeat(weights.astype(int))
    clicked, others = both(logits, labels, weights)
    found, error = reliability(clicked, others, bins)
    clicked, others = both(logits[which], labels[which], None)
    expected, other = reliability(clicked, others, bins)
    assert error == pytest.approx(other, abs=1e-12) and sum(one.rows for one in found) == 60
    for own, repeated in zip(found, expected, strict=True):
        assert (own.low, own.high) == (repeated.low, repeated.high) and own.rows <= repeated.rows
        assert own.mean_prediction == pytest.approx(repeated.mean_prediction, rel=1e-12)
        assert own.label_ratio == pytest.approx(repeated.label_ratio, rel=1e-12)


def test_groups() -> None:
    """Means and shares of a column's ranges are those of the rows repeated; rows are counted once."""
    logits, labels, weights = drawn(1, 300)
    feature = numpy.random.default_rng(0).integers(0, 5, 300).astype(numpy.float32)
    which = numpy.arange(300).repeat(weights.astype(int))
    columns = [NumberSums("number", False), NumberSums("number", False)]
    columns[0].add(feature, row_sums(logits, labels, weights))
    columns[1].add(feature[which], row_sums(logits[which], labels[which]))
    found, expected = (column.field(5) for column in columns)
    assert sum(one.group.rows for one in found.bins) == 300
    for own, repeated in zip(found.bins, expected.bins, strict=True):
        for name in ("share", "label_ratio", "mean_prediction", "log_loss"):
            assert getattr(own.group, name) == pytest.approx(getattr(repeated.group, name), rel=1e-12)


@given(SEEDS)
def test_heads(seed: int) -> None:
    """A head's loss and gradient, and a published step, are those of the rows repeated; factors of 1 change no bit."""
    generator = torch.Generator().manual_seed(seed)
    features, label = torch.randn(40, 3, generator=generator), (torch.rand(40, generator=generator) < 0.4).float()
    weight = torch.randint(1, 4, (40,), generator=generator).float()
    which, point = torch.arange(40).repeat_interleave(weight.long()), torch.randn(4, generator=generator).double()
    own, repeated = HeadRows.of(features, label, tensor_factors(weight)), HeadRows.of(features[which], label[which])

    def means(rows: HeadRows) -> Tensor:
        """Of the rows' gradients and log losses, [N + 1]."""
        count = len(rows.rows)
        return piece_sums(rows, Reading(point, 0, count, has_gradient=True)).sum(0) / count

    torch.testing.assert_close(means(own), means(repeated), rtol=1e-5, atol=1e-7)
    heads = [PublishedHead(point[:-1].float(), point[-1:].float()) for _ in range(2)]
    heads[0].step(features, label, 0.1, tensor_factors(weight))
    heads[1].step(features[which], label[which], 0.1)
    torch.testing.assert_close(heads[0].weight, heads[1].weight, rtol=1e-4, atol=1e-5)
    plain, ones = HeadRows.of(features, label), HeadRows.of(features, label, torch.ones(40))
    assert torch.equal(means(plain), means(ones))


def test_losses_are_weighted_by_torch_as_here() -> None:
    """The weighted mean is torch's, given factors."""
    logits, labels, weights = (torch.from_numpy(column) for column in drawn(3))
    each = binary_cross_entropy_with_logits(logits, labels, reduction="none")
    found = binary_cross_entropy_with_logits(logits, labels, tensor_factors(weights))
    torch.testing.assert_close(found, (weights * each).sum() / weights.sum())
