"""Estimates of the log losses that were not measured, from those that were.

Rounding to b bits adds noise of power ∝ 4^−b, and small noises from different operators add: log loss ≈ a constant +
Σ_operators (s_w f(w) + s_a f(a)) with f(b) = (4^−b − 4^−8)/(4^−4 − 4^−8) and sensitivities s ≥ 0. The estimates
guide the search; none of them is reported.
"""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy.optimize import nnls

Floats = NDArray[numpy.float64]

RIDGE = 0.05
"""Weight of pulling each sensitivity towards the mean of its kind, relative to one measurement. It decides while there
are fewer measurements than sensitivities."""


def noise(bits: NDArray[numpy.int64]) -> Floats:
    """f(b): 0 at 8 bits, 1 at 4.

    >>> noise(numpy.array([4, 8])).tolist()
    [1.0, 0.0]
    """
    return numpy.asarray((4.0**-bits - 4.0**-8) / (4.0**-4 - 4.0**-8))


@dataclass(frozen=True)
class Surrogate:
    """Sensitivities of the log loss to each operator's weight and activation bits."""

    constant: float
    """Log loss with 8 bits everywhere."""
    sensitivities: Floats
    """Increase at 4 bits, of n weights then n activations; at least 0. [2n]"""

    def predict(self, bits: NDArray[numpy.int64]) -> Floats:
        """Estimated log losses of bits [P, 2n]."""
        return self.constant + noise(bits) @ self.sensitivities


def fit(bits: NDArray[numpy.int64], log_losses: Floats, constant: float) -> Surrogate:
    """Fit to measured bits [N, 2n] and log losses [N]; `constant` is the measured log loss of 8 bits everywhere."""
    features, excess = noise(bits), log_losses - constant
    n = features.shape[1] // 2
    # One sensitivity for all weights and one for all activations: the means that the operators' are pulled to.
    kinds = numpy.stack([features[:, :n].sum(axis=1), features[:, n:].sum(axis=1)], axis=1)
    mean = numpy.repeat(nnls(kinds, excess)[0], n)
    pull = numpy.sqrt(RIDGE)
    rows = numpy.vstack([features, pull * numpy.eye(2 * n)])
    return Surrogate(constant, nnls(rows, numpy.concatenate([excess, pull * mean]))[0])
