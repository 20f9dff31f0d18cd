"""L-BFGS (Nocedal 1980) for convex functions whose curvature is about known: few evaluations of a costly function.

An evaluation of a head's loss reads all rows, so evaluations are what counts. The known curvature is the first guess of
the inverse Hessian, which makes the first step nearly Newton's; the pairs of earlier steps correct it.

The minimizer is a generator that asks for evaluations: the rows may lie on many ranks, where several functions are
minimized at the same time (pipeline/search/lockstep.py).
"""

import math
from collections.abc import Callable, Generator

import torch
from torch import Tensor

PAIRS = 10
"""Earlier steps that are remembered."""
SUFFICIENT = 1e-4
"""Share of the decrease that the gradient promises which a step must bring (Armijo's constant)."""
ROUNDING = 1e-13
"""Relative error of a computed loss: below it the gradient says whether a step is good (Hager and Zhang 2005)."""

Evaluated = tuple[float, Tensor]
"""The objective's value and gradient [N] at a point."""


def minimize(
    start: Tensor, precondition: Callable[[Tensor], Tensor], tolerance: float, iterations: int
) -> Generator[Tensor, Evaluated, Tensor]:
    """Where a convex objective is least, [N] in float64; yields points [N], and is sent the objective's value and
    gradient there.

    `precondition`: a gradient → the step that the known curvature calls for, M⁻¹ g. Ends when ½ gᵀ M⁻¹ g, the distance
    to the least value if M is the curvature, is at most `tolerance`; or where no step makes the objective less; or
    after so many iterations. NaN where value or gradient are not finite at the start.
    """
    point, (value, gradient) = start, (yield start)
    if not math.isfinite(value) or not bool(gradient.isfinite().all()):
        return torch.full_like(start, math.nan)
    pairs: list[tuple[Tensor, Tensor]] = []
    for _ in range(iterations):
        if float(0.5 * gradient @ precondition(gradient)) <= tolerance:
            break
        step = -_inverse_times(gradient, pairs, precondition)
        found = yield from _along(point, value, gradient, step)
        if found is None:
            break
        new_point, new_value, new_gradient = found
        moved, turned = new_point - point, new_gradient - gradient
        if float(moved @ turned) > 0:
            pairs = [*pairs, (moved, turned)][-PAIRS:]
        point, value, gradient = new_point, new_value, new_gradient
    return point


def _inverse_times(
    gradient: Tensor, pairs: list[tuple[Tensor, Tensor]], precondition: Callable[[Tensor], Tensor]
) -> Tensor:
    """The inverse Hessian's guess times the gradient: Nocedal's two loops around the preconditioner."""
    rest, shares = gradient.clone(), list[Tensor]()
    for moved, turned in reversed(pairs):
        shares.append(moved @ rest / (moved @ turned))
        rest -= shares[-1] * turned
    result = precondition(rest)
    for (moved, turned), share in zip(pairs, reversed(shares), strict=True):
        result += (share - turned @ result / (moved @ turned)) * moved
    return result


def _along(
    point: Tensor, value: float, gradient: Tensor, step: Tensor
) -> Generator[Tensor, Evaluated, tuple[Tensor, float, Tensor] | None]:
    """The point, value and gradient of a step that is short enough, the whole one first; None where none is."""
    slope, length = float(gradient @ step), 1.0
    if not slope < 0:
        return None
    for _ in range(30):
        new = point + length * step
        new_value, new_gradient = yield new
        if new_value <= value + SUFFICIENT * length * slope:
            return new, new_value, new_gradient
        new_slope = float(new_gradient @ step)
        if new_value <= value + ROUNDING * abs(value) and new_slope <= (2 * SUFFICIENT - 1) * slope:
            return new, new_value, new_gradient
        # where a parabola through what is known has its least value, but neither hardly shorter nor next to nothing
        bend = new_value - value - length * slope
        share = -slope * length / (2 * bend) if bend > 0 else 0.5
        length *= min(0.5, max(0.1, share))
    return None
