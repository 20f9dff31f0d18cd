"""pipeline/search/minimize.py: the least value of convex functions, against what is known of them and scipy."""

import math
from collections.abc import Callable

import numpy
import pytest
import scipy.optimize
import torch
from torch import Tensor

from pipeline.search.minimize import Evaluated, minimize

Objective = Callable[[Tensor], Evaluated]


def least_of(
    objective: Objective, start: Tensor, precondition: Callable[[Tensor], Tensor], tolerance: float, iterations: int
) -> Tensor:
    """The minimizer driven by an objective."""
    steps = minimize(start, precondition, tolerance, iterations)
    try:
        point = next(steps)
        while True:
            point = steps.send(objective(point))
    except StopIteration as end:
        found: Tensor = end.value
        return found


def quadratic(seed: int) -> tuple[Tensor, Tensor]:
    """A positive definite matrix whose scales differ by 1e3, and a point."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(12, 12, generator=generator, dtype=torch.double)
    scales = torch.logspace(-1.5, 1.5, 12, dtype=torch.double)
    return scales[:, None] * (base @ base.t() + torch.eye(12)) * scales, torch.randn(12, generator=generator).double()


def test_known_curvature_takes_one_step() -> None:
    """With the Hessian itself a quadratic's minimum is found by two evaluations: at the start, and there."""
    matrix, least = quadratic(0)
    evaluations = []

    def objective(point: Tensor) -> tuple[float, Tensor]:
        evaluations.append(point)
        moved = point - least
        return float(moved @ matrix @ moved) / 2, matrix @ moved

    found = least_of(objective, torch.zeros(12).double(), lambda g: torch.linalg.solve(matrix, g), 1e-18, 50)
    torch.testing.assert_close(found, least, rtol=0, atol=1e-9)
    assert len(evaluations) == 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_wrong_curvature_ends_at_the_minimum(seed: int) -> None:
    """With only the diagonal known, from afar, on a function that is no quadratic: the minimum that scipy finds by
    Newton's method, and no evaluation made the objective larger than at the start."""
    matrix, least = quadratic(seed)

    def value(point: Tensor) -> Tensor:
        moved = point - least
        return (moved @ matrix @ moved) / 2 + torch.nn.functional.softplus(3 * point).sum()

    def objective(point: Tensor) -> tuple[float, Tensor]:
        own = point.clone().requires_grad_()
        total = value(own)
        (gradient,) = torch.autograd.grad(total, own)
        return float(total.detach()), gradient

    start = 10 * torch.ones(12).double()
    found = least_of(objective, start, lambda gradient: gradient / matrix.diagonal(), 1e-20, 500)
    oracle = scipy.optimize.minimize(
        lambda point: objective(torch.from_numpy(point))[0],
        numpy.zeros(12),
        jac=lambda point: objective(torch.from_numpy(point))[1].numpy(),
        hess=lambda point: torch.autograd.functional.hessian(value, torch.from_numpy(point)).numpy(),
        method="trust-exact",
        options={"gtol": 1e-12},
    )
    numpy.testing.assert_allclose(found.numpy(), oracle.x, atol=1e-6)  # it is flat in some directions
    assert objective(found)[0] <= oracle.fun + 1e-12


def test_what_is_not_finite() -> None:
    """A start without a finite value or gradient gives NaN; a start that is the minimum costs one evaluation."""
    start = torch.ones(3).double()
    for value, gradient in ((math.nan, start), (math.inf, start), (1.0, start / 0)):
        own = value, gradient
        found = least_of(lambda _: own, start, lambda g: g, 1e-9, 10)  # noqa: B023 (called at once)
        assert bool(found.isnan().all())
    calls = []

    def flat(point: Tensor) -> tuple[float, Tensor]:
        calls.append(point)
        return 0.0, torch.zeros(3).double()

    assert least_of(flat, start, lambda g: g, 1e-9, 10) is start and len(calls) == 1
