"""pipeline/training/platt_scaling.py: the fit against float64 autograd, its bounds, and the scaling as weights."""

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.space import InputShape
from modules.space.handmade import HANDMADE, handmade
from modules.supernet import OwnWeights, Subnet
from pipeline.training.diverged import Diverged
from pipeline.training.platt_scaling import LARGEST_BIAS, SCALES, PlattScaling, apply, fitted
from pipeline.training.row_logits import RowLogits


def drawn(seed: int, scale: float, bias: float, rows: int = 500) -> RowLogits:
    """Rows whose labels are drawn with the probabilities of rescaled logits."""
    generator = numpy.random.default_rng(seed)
    logits = generator.normal(-1, 2, rows).astype(numpy.float32)
    labels = generator.random(rows) < expit(scale * logits + bias)
    return RowLogits(logits, labels.astype(numpy.float32))


def test_the_scaling_that_labels_were_drawn_with_is_found() -> None:
    """From 400,000 rows, within what so many rows tell."""
    found = fitted(drawn(0, 0.6, -0.4, 400_000), "here")
    assert found.scale == pytest.approx(0.6, abs=0.01) and found.bias == pytest.approx(-0.4, abs=0.02)


@given(st.integers(0, 10_000), st.floats(0.2, 3), st.floats(-2, 2))
def test_no_scaling_is_better(seed: int, scale: float, bias: float) -> None:
    """At what is found, inside the bounds, float64 autograd's gradient of the log loss is zero."""
    rows = drawn(seed, scale, bias)
    found = fitted(rows, "here")
    if not SCALES[0] < found.scale < SCALES[1] or abs(found.bias) >= LARGEST_BIAS:
        return
    parameters = torch.tensor([found.scale, found.bias], dtype=torch.float64, requires_grad=True)
    logits = torch.from_numpy(rows.logits).double() * parameters[0] + parameters[1]
    binary_cross_entropy_with_logits(logits, torch.from_numpy(rows.labels).double()).backward()  # type: ignore[no-untyped-call]
    assert parameters.grad is not None and parameters.grad.abs().max() < 1e-5


@given(st.integers(0, 10_000), st.integers(2, 50))
def test_never_worse_and_ranked_alike(seed: int, rows: int) -> None:
    """Log loss does not rise on the rows of the fit, however few, and the AUC is the same."""
    before = drawn(seed, 1.0, 0.0, rows)
    scaled = fitted(before, "here").of(before)
    assert scaled.metrics().log_loss <= before.metrics().log_loss + 1e-6
    assert scaled.metrics().auc == before.metrics().auc


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [1, 1, 0, 0]])
def test_separable_labels(labels: list[int]) -> None:
    """Labels that the logits separate, either way around, give the largest or the least scale, which are finite."""
    rows = RowLogits(numpy.array([-2, -1, 1, 2], numpy.float32), numpy.array(labels, numpy.float32))
    found = fitted(rows, "here")
    assert found.scale == pytest.approx(SCALES[labels[-1]], rel=0.2)
    assert numpy.isfinite(found.of(rows).logits).all()


def test_a_logit_that_is_not_finite_is_divergence() -> None:
    """It is said of which training."""
    rows = RowLogits(numpy.array([0, numpy.nan], numpy.float32), numpy.array([0, 1], numpy.float32))
    with pytest.raises(Diverged, match="trial 7"):
        fitted(rows, "trial 7")


@pytest.mark.parametrize("name", sorted(HANDMADE))
def test_it_becomes_part_of_a_network(name: str) -> None:
    """Every hand-made network's logits are rescaled exactly when the scaling is put into its weights."""
    shape = InputShape(3, 4, 8)
    network = Subnet(handmade(name, shape), shape, weights=OwnWeights(torch.Generator().manual_seed(0))).double()
    dense, embedded = torch.rand(5, 3, dtype=torch.float64), torch.randn(5, 4, 8, dtype=torch.float64)
    with torch.no_grad():
        before = network(dense, embedded)
        apply(PlattScaling(0.7, -0.3), dict(network.named_parameters()))
        torch.testing.assert_close(network(dense, embedded), 0.7 * before - 0.3, rtol=1e-12, atol=1e-12)
