"""pipeline/search/head_fit.py: the fitted head against scipy's minimum, and its penalty against a brute force."""

from typing import Any

import numpy
import pytest
import scipy.optimize
import torch
from torch import Tensor

from pipeline.run.processes import Processes
from pipeline.search import head_fit, head_rows
from pipeline.search.head_rows import HeadRows
from pipeline.search.lockstep import fit_heads
from pipeline.search.scoring_config import ScoringConfig

TIGHT = 1e-22
"""A tolerance that asks for all that float64 has."""


def fitted_on(rows: HeadRows, weight: Tensor, bias: Tensor, config: ScoringConfig) -> tuple[Tensor, Tensor]:
    """One head, fitted on one rank."""
    alone = Processes(0, 1, torch.device("cpu"))
    (head,) = fit_heads([(weight, bias)], [rows], config, alone, lambda own, items: [own(one) for one in items])
    return head


def problem(rows: int, width: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Correlated features of scales from 1/30 to 30 (one is always zero), labels, and a weight and bias to begin at."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(rows, width, generator=generator) @ torch.randn(width, width, generator=generator)
    features = torch.relu(mixed / width**0.5) * torch.logspace(-1.5, 1.5, width)
    features[:, width // 2] = 0
    truth = torch.randn(width, generator=generator) / torch.logspace(-1.5, 1.5, width) / width**0.5
    label = (torch.rand(rows, generator=generator) < (features @ truth - 1).sigmoid()).float()
    return features, label, 0.7 * truth, torch.tensor([-0.5])


def penalized(parameters: Any, features: Any, label: Any, start: Any, penalty: float) -> tuple[float, Any]:
    """The penalized mean log loss, and its gradient, in numpy."""
    logit = features @ parameters[:-1] + parameters[-1]
    residual = (scipy.special.expit(logit) - label) / len(label)
    moved = parameters[:-1] - start
    gradient = numpy.append(residual @ features + 2 * penalty * moved, residual.sum())
    return float((numpy.logaddexp(0, logit) - label * logit).mean() + penalty * moved @ moved), gradient


def hessian(parameters: Any, features: Any, label: Any, start: Any, penalty: float) -> Any:
    """Its Hessian."""
    share = scipy.special.expit(features @ parameters[:-1] + parameters[-1])
    joined = numpy.column_stack([features, numpy.ones(len(label))])
    ridge = numpy.append(numpy.full(len(start), 2 * penalty), 0.0)
    return (joined * (share * (1 - share) / len(label))[:, None]).T @ joined + numpy.diag(ridge)


def scipys(features: Tensor, label: Tensor, weight: Tensor, penalty: float) -> Any:
    """The minimum by Newton's method, [P + 1]."""
    arguments = (features.double().numpy(), label.double().numpy(), weight.double().numpy(), penalty)
    start = numpy.append(arguments[2], 0.0)
    found = scipy.optimize.minimize(
        penalized, start, args=arguments, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-13}
    )
    return found.x


@pytest.mark.parametrize(("rows", "width", "penalty"), [(3000, 10, 1e-4), (3000, 60, 1e-2), (90, 60, 1e-3)])
def test_the_fit_is_scipys_minimum(rows: int, width: int, penalty: float) -> None:
    """With one penalty, many rows or few: weights and bias to 1e-8, in float64; what it began with is not changed."""
    features, label, weight, bias = problem(rows, width, 0)
    config = ScoringConfig(fine_tune_penalties=(penalty,), fine_tune_tolerance=TIGHT)
    before = weight.clone(), bias.clone()
    fitted, offset = fitted_on(HeadRows.of(features, label), weight, bias, config)
    assert fitted.dtype == offset.dtype == torch.double and offset.shape == (1,)
    oracle = scipys(features, label, weight, penalty)
    numpy.testing.assert_allclose(fitted.numpy(), oracle[:-1], atol=1e-8)
    numpy.testing.assert_allclose(offset.numpy(), oracle[-1:], atol=1e-8)
    assert torch.equal(weight, before[0]) and torch.equal(bias, before[1])


def test_the_default_tolerance_is_near_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The penalized loss is within 1e-8 nats of scipy's; also where the curvature has blocks, or is hardly known."""
    features, label, weight, bias = problem(3000, 60, 1)
    arguments = (features.double().numpy(), label.double().numpy(), weight.double().numpy(), 1e-3)
    least, _ = penalized(scipys(features, label, weight, 1e-3), *arguments)
    config = ScoringConfig(fine_tune_penalties=(1e-3,))
    for block, rows in ((head_fit.BLOCK, head_fit.CURVATURE_ROWS), (16, 3000), (head_fit.BLOCK, 40)):
        monkeypatch.setattr(head_rows, "BLOCK", block)
        monkeypatch.setattr(head_fit, "BLOCK", block)
        monkeypatch.setattr(head_fit, "CURVATURE_ROWS", rows)
        found = torch.cat(fitted_on(HeadRows.of(features, label), weight, bias, config)).numpy()
        assert 0 <= penalized(found, *arguments)[0] - least + 1e-15 < 1e-8


@pytest.mark.parametrize("rows", [150, 600, 3000])
def test_the_penalty_is_the_best_of_all(rows: int) -> None:
    """The one whose minimum on the first four fifths has, by scipy, the least log loss on the last fifth; it is not
    always the same one. The head is the minimum on all rows with it."""
    penalties = (1e-1, 1e-2, 1e-3, 1e-4)
    features, label, weight, bias = problem(rows, 30, 2)
    fitted = rows * 4 // 5
    losses = []
    for penalty in penalties:
        oracle = scipys(features[:fitted], label[:fitted], weight, penalty)
        held_out = features[fitted:].double().numpy(), label[fitted:].double().numpy()
        losses.append(penalized(oracle, *held_out, oracle[:-1], 0.0)[0])
    best = penalties[int(numpy.argmin(losses))]
    assert best == {150: 1e-1, 600: 1e-3, 3000: 1e-1}[rows]
    config = ScoringConfig(fine_tune_penalties=penalties, fine_tune_tolerance=TIGHT)
    found, _ = fitted_on(HeadRows.of(features, label), weight, bias, config)
    numpy.testing.assert_allclose(found.numpy(), scipys(features, label, weight, best)[:-1], atol=1e-8)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_next_to_no_rows(rows: int) -> None:
    """One row has none to hold out; the fit is finite and near its start."""
    features, label, weight, bias = problem(8, 5, 3)
    found, offset = fitted_on(HeadRows.of(features[:rows], label[:rows]), weight, bias, ScoringConfig())
    assert bool(found.isfinite().all()) and bool(offset.isfinite().all())


def test_features_that_are_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them is enough for NaN, wherever it is: the candidate's score is then not finite."""
    features, label, weight, bias = problem(100, 5, 4)
    monkeypatch.setattr(head_fit, "CURVATURE_ROWS", 50)
    for value in (float("nan"), float("inf")):
        for row in (0, 70, 99):  # in the guess of the curvature, fitted, held out
            bad = features.clone()
            bad[row, 1] = value
            found, offset = fitted_on(HeadRows.of(bad, label), weight, bias, ScoringConfig())
            assert bool(found.isnan().all()) and bool(offset.isnan().all())
