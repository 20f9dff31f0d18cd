"""A last layer fitted to convergence: logistic regression on frozen features, held near the supernet's head.

The loss is the rows' mean log loss (by weight, where they have weights) + λ ‖w − w_start‖², the bias free. It is
minimized in float64 for each penalty λ, from the largest on, each from where the last one ended. Four fifths of the
rows are fitted, the last fifth says which penalty is best, and with that one the fit goes on over all rows.

By L-BFGS, not Newton's method: with P features a Hessian costs as much as P / 2 gradients at every step, and where
features are not kept a gradient costs the network. Its first guess of the curvature is the Hessian's diagonal blocks on
some rows at the supernet's head, which differs little from the minimum's, so that a fit needs about ten readings of the
rows. Features are neither shifted nor scaled: that guess knows their scales.

r rows of a chunk, P features, N = P + 1 numbers that are fitted (the bias last).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.search.config import ScoringConfig
from pipeline.search.head_rows import HeadRows
from pipeline.search.minimize import minimize

HELD_OUT = 5
"""One in so many rows is held out to choose the penalty, at least one row."""
BLOCK = 4096
"""Columns of the curvature's blocks on its diagonal, 134 MB each. Nearly every head has one block; with more, a fit
takes several times the readings."""
CURVATURE_ROWS = 16_384
"""Rows that the curvature is guessed from."""
BIAS_RIDGE = 1e-9
"""Added to the curvature of the bias, which has no penalty and may have next to no curvature of its own."""


def fit_head(rows: HeadRows, weight: Tensor, bias: Tensor, config: ScoringConfig) -> tuple[Tensor, Tensor]:
    """Weight [P] and bias [1] in float64, fitted from those of the supernet; NaN where a feature is not finite.

    With a single row nothing can be held out: the largest penalty is taken.
    """
    start = torch.cat([weight, bias]).double()
    fitted = len(rows) - max(1, len(rows) // HELD_OUT)
    penalties = sorted(config.fine_tune_penalties, reverse=True)
    blocks = _curvature(rows, min(max(fitted, 1), CURVATURE_ROWS), start)
    if not all(bool(block.isfinite().all()) for block in blocks):
        point, penalties = start * math.nan, []
    elif not fitted:
        point, penalties = start, penalties[:1]
    else:
        point, penalties = _best_of(rows, fitted, start, penalties, blocks, config)
    for penalty in penalties:
        point = _fit(rows, len(rows), point, start, penalty, blocks, config)
    return point[:-1], point[-1:]


def _best_of(
    rows: HeadRows, fitted: int, start: Tensor, penalties: list[float], blocks: list[Tensor], config: ScoringConfig
) -> tuple[Tensor, list[float]]:
    """Weight and bias [N] fitted on the first rows with the penalty that is best on the others; the larger where two
    are as good. NaN and no penalty where none has a finite loss."""
    point, least = start, math.inf
    best: tuple[Tensor, list[float]] = start * math.nan, []
    for penalty in penalties:
        point = _fit(rows, fitted, point, start, penalty, blocks, config)
        held_out = mean_loss(rows, fitted, len(rows), point)
        if held_out < least:
            least, best = held_out, (point, [penalty])
    return best


def mean_loss(rows: HeadRows, start: int, stop: int, point: Tensor) -> float:
    """The mean log loss of weight and bias [N] on some of the rows, in nats."""
    total = 0.0
    for features, label, factor in rows.chunks(start, stop):
        logit = torch.addmv(point[-1:], features.double(), point[:-1])
        total += float(binary_cross_entropy_with_logits(logit, label.double(), factor, reduction="sum"))
    return total / (stop - start)


def loss_and_gradient(rows: HeadRows, stop: int, point: Tensor, centre: Tensor, penalty: float) -> tuple[float, Tensor]:
    """The penalized mean log loss of the first `stop` rows at weight and bias [N], and its gradient [N]."""
    total, gradient = 0.0, torch.zeros_like(point)
    for chunk, label, factor in rows.chunks(0, stop):
        features, label = chunk.double(), label.double()
        logit = torch.addmv(point[-1:], features, point[:-1])
        total += float(binary_cross_entropy_with_logits(logit, label, factor, reduction="sum"))
        residual = logit.sigmoid_().sub_(label)  # [r]
        if factor is not None:
            residual *= factor
        gradient[:-1].addmv_(features.t(), residual)
        gradient[-1] += residual.sum()
    moved = point[:-1] - centre[:-1]
    gradient /= stop
    gradient[:-1] += 2 * penalty * moved
    return total / stop + penalty * float(moved @ moved), gradient


def _fit(
    rows: HeadRows,
    stop: int,
    point: Tensor,
    centre: Tensor,
    penalty: float,
    blocks: list[Tensor],
    config: ScoringConfig,
) -> Tensor:
    return minimize(
        lambda at: loss_and_gradient(rows, stop, at, centre, penalty),
        point,
        _preconditioner(blocks, penalty),
        config.fine_tune_tolerance,
        config.fine_tune_iterations,
    )


def _curvature(rows: HeadRows, stop: int, point: Tensor) -> list[Tensor]:
    """Diagonal blocks of the Hessian of the first rows' mean log loss; features times features in their own float32."""
    width = len(point)
    blocks = [torch.zeros(len(part), len(part), dtype=point.dtype, device=point.device) for part in point.split(BLOCK)]
    for features, _, factor in rows.chunks(0, stop):
        logit = torch.addmv(point[-1:], features.double(), point[:-1])
        share = logit.sigmoid()
        curvature = share * (1 - share)  # of a row's loss
        root = (curvature if factor is None else curvature * factor).sqrt().to(features.dtype)
        scaled = torch.cat([features, features.new_ones(len(features), 1)], dim=1) * root[:, None]  # [r, N]
        assert scaled.shape[1] == width
        for block, part in zip(blocks, scaled.split(BLOCK, dim=1), strict=True):
            block += part.t() @ part
    return [block / stop for block in blocks]


def _preconditioner(blocks: list[Tensor], penalty: float) -> Callable[[Tensor], Tensor]:
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
