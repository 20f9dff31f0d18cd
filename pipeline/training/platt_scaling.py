"""Platt scaling: a trained network's logits are rescaled by two numbers fitted on validation rows.

logit' = scale · logit + bias, the two numbers by maximum likelihood (Platt 1999; temperature scaling with a bias, as in
arXiv:1706.04599). A network that has seen rows several times is too sure of itself: it ranks rows well, but its logits
are too large, which log loss pays for. As every network ends with one linear layer, the two numbers become part of its
weights, and whatever reads the network after that (export, chip, other ranks) need not know of them. AUC stays.

R rows of a split.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy
import torch
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

from pipeline.training.diverged import diverged
from pipeline.training.row_logits import RowLogits
from pipeline.training.row_weights import factors

MOST_ROWS = 2_000_000
"""Rows of the fit at most, evenly spaced among all: two numbers need no more."""
SCALES = (0.05, 20.0)
"""Bounds of the scale: above 0, so that the order of rows stays, and finite where the labels can be separated."""
LARGEST_BIAS = 20.0
"""Bound of the bias's absolute value."""


@dataclass(frozen=True)
class PlattScaling:
    """logit' = scale · logit + bias."""

    scale: float = 1.0
    """Above 0; below 1 where the network was too sure."""
    bias: float = 0.0
    """In nats."""

    def of(self, rows: RowLogits) -> RowLogits:
        """The rows with rescaled logits."""
        return RowLogits(numpy.asarray(self.scale * rows.logits + self.bias, numpy.float32), rows.labels, rows.weights)


def fitted(rows: RowLogits, where: str) -> PlattScaling:
    """The scaling with the least log loss on these rows, by their weights (a convex problem; never worse than none).

    Raises Diverged where a logit is not finite; `where` names the training.

    >>> clicks = numpy.array([1, 1, 1, 0, 1, 0, 0, 0], numpy.float32)
    >>> sure = numpy.array([9, 9, 9, 9, -9, -9, -9, -9], numpy.float32)  # wrong about one row in four
    >>> round(fitted(RowLogits(sure, clicks), "example").scale * 9, 3)  # log(3)
    1.099
    """
    if not numpy.isfinite(rows.logits).all():
        raise diverged(where)
    step = -(-len(rows.logits) // MOST_ROWS)
    logits, labels = rows.logits[::step].astype(numpy.float64), rows.labels[::step]
    own = 1.0 if rows.weights is None else factors(rows.weights[::step])

    def loss(parameters: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        scaled = parameters[0] * logits + parameters[1]
        error = own * (expit(scaled) - labels)
        value = float(numpy.mean(own * (numpy.logaddexp(0.0, scaled) - labels * scaled)))
        return value, numpy.array([numpy.mean(error * logits), numpy.mean(error)])

    bounds = [SCALES, (-LARGEST_BIAS, LARGEST_BIAS)]
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 200}
    found = minimize(loss, numpy.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return PlattScaling(float(found.x[0]), float(found.x[1]))


@torch.no_grad()
def apply(scaling: PlattScaling, parameters: Mapping[str, Tensor]) -> None:
    """Rescale a network's logit in place, given its parameters by name: those of its head."""
    parameters["head.weight"].mul_(scaling.scale)
    parameters["head.bias"].mul_(scaling.scale).add_(scaling.bias)
