"""A last layer fitted to convergence: logistic regression on frozen features, held near the supernet's head.

The loss is the rows' mean log loss (by weight, where they have weights) + λ ‖w − w_start‖², the bias free. It is
minimized in float64 for each penalty λ, from the largest on, each from where the last one ended. Four fifths of the
rows are fitted, the last fifth says which penalty is best, and with that one the fit goes on over all rows.

By L-BFGS, not Newton's method: with P features a Hessian costs as much as P / 2 gradients at every step, and where
features are not kept a gradient costs the network. Its first guess of the curvature is the Hessian's diagonal blocks on
some rows at the supernet's head, which differs little from the minimum's, so that a fit needs about ten readings of the
rows. Features are neither shifted nor scaled: that guess knows their scales.

Here is the algorithm, which asks for sums over rows; who holds these rows is pipeline/search/lockstep.py's matter.

P features, N = P + 1 numbers that are fitted (the bias last).
"""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.search.minimize import minimize
from pipeline.search.scoring_config import ScoringConfig

HELD_OUT = 5
"""One in so many rows is held out to choose the penalty, at least one row."""
BLOCK = 4096
"""Columns of the curvature's blocks on its diagonal, 134 MB each. Nearly every head has one block; with more, a fit
takes several times the readings."""
CURVATURE_ROWS = 16_384
"""Rows that the curvature is guessed from."""
BIAS_RIDGE = 1e-9
"""Added to the curvature of the bias, which has no penalty and may have next to no curvature of its own."""


@dataclass(frozen=True)
class Reading:
    """A reading of rows that a fit asks for."""

    point: Tensor
    """[N]: weight and bias at which the log loss is asked."""
    start: int
    """The first row."""
    stop: int
    """One past the last."""
    has_gradient: bool
    """Whether the gradient is asked for too."""


Sums = tuple[float, Tensor]
"""Over the rows that are read: the sum of their log losses, nats, and its gradient [N] (of no meaning, unasked)."""
Fit = Generator[Reading, Sums, tuple[Tensor, Tensor]]
"""Asks for readings; ends with weight [P] and bias [1] in float64."""


def curvature_rows(rows: int) -> int:
    """How many of R rows the curvature is guessed from: fitted ones.

    >>> curvature_rows(100), curvature_rows(1), curvature_rows(256_000)
    (80, 1, 16384)
    """
    return min(max(_fitted(rows), 1), CURVATURE_ROWS)


def fit_head(rows: int, weight: Tensor, bias: Tensor, blocks: Sequence[Tensor], config: ScoringConfig) -> Fit:
    """Weight and bias fitted from those of the supernet on R rows; NaN where a feature is not finite.

    `blocks`: diagonal blocks of the Hessian of the mean log loss of the first `curvature_rows`. With a single row
    nothing can be held out: the largest penalty is taken.
    """
    start = start_of(weight, bias)
    fitted = _fitted(rows)
    penalties = sorted(config.fine_tune_penalties, reverse=True)
    if not all(bool(block.isfinite().all()) for block in blocks):
        point, penalties = start * math.nan, []
    elif not fitted:
        point, penalties = start, penalties[:1]
    else:
        point, penalties = yield from _best_of(rows, fitted, start, penalties, blocks, config)
    for penalty in penalties:
        point = yield from _fit(rows, point, start, penalty, blocks, config)
    return point[:-1], point[-1:]


def start_of(weight: Tensor, bias: Tensor) -> Tensor:
    """Where a fit begins, [N] in float64."""
    return torch.cat([weight, bias]).double()


def _fitted(rows: int) -> int:
    """How many of the rows are fitted while the penalty is chosen: the first ones."""
    return rows - max(1, rows // HELD_OUT)


def _best_of(
    rows: int, fitted: int, start: Tensor, penalties: list[float], blocks: Sequence[Tensor], config: ScoringConfig
) -> Generator[Reading, Sums, tuple[Tensor, list[float]]]:
    """Weight and bias [N] fitted on the first rows with the penalty that is best on the others; the larger where two
    are as good. NaN and no penalty where none has a finite loss."""
    point, least = start, math.inf
    best: tuple[Tensor, list[float]] = start * math.nan, []
    for penalty in penalties:
        point = yield from _fit(fitted, point, start, penalty, blocks, config)
        total, _ = yield Reading(point, fitted, rows, has_gradient=False)
        held_out = total / (rows - fitted)
        if held_out < least:
            least, best = held_out, (point, [penalty])
    return best


def _fit(
    stop: int, point: Tensor, centre: Tensor, penalty: float, blocks: Sequence[Tensor], config: ScoringConfig
) -> Generator[Reading, Sums, Tensor]:
    """Weight and bias [N] at which the penalized mean log loss of the first `stop` rows is least."""
    tolerance, iterations = config.fine_tune_tolerance, config.fine_tune_iterations
    steps = minimize(point, _preconditioner(blocks, penalty), tolerance, iterations)
    try:
        at = next(steps)
        while True:
            sums = yield Reading(at, 0, stop, has_gradient=True)
            at = steps.send(_penalized(sums, stop, at - centre, penalty))
    except StopIteration as end:
        found: Tensor = end.value
        return found


def _penalized(sums: Sums, rows: int, moved: Tensor, penalty: float) -> tuple[float, Tensor]:
    """The penalized mean log loss and its gradient; `moved`: weight and bias less those of the supernet."""
    total, gradient = sums[0], sums[1] / rows
    gradient[:-1] += 2 * penalty * moved[:-1]
    return total / rows + penalty * float(moved[:-1] @ moved[:-1]), gradient


def _preconditioner(blocks: Sequence[Tensor], penalty: float) -> Callable[[Tensor], Tensor]:
    """Gradient [N] → M⁻¹ g, M the blocks and the penalty's curvature."""
    factors = []
    for index, block in enumerate(blocks):
        ridged = block.clone()
        ridged.diagonal().add_(2 * penalty)
        if index == len(blocks) - 1:
            ridged[-1, -1] = block[-1, -1] + BIAS_RIDGE
        factor, failed = torch.linalg.cholesky_ex(ridged)
        factors.append(ridged.diagonal().sqrt().diag() if int(failed) else factor)

    def precondition(gradient: Tensor) -> Tensor:
        parts = zip(gradient.split(BLOCK), factors, strict=True)
        return torch.cat([torch.cholesky_solve(part[:, None], factor)[:, 0] for part, factor in parts])

    return precondition
