"""Sums over many ranks that have the same bits on any number of them, whoever holds which of the addends.

What floating-point addition gives depends on its order. So each addend is rounded to a multiple of a unit, a power of
two, of which the largest possible sum has fewer than 2⁵²: sums of such multiples have no rounding, and then order does
not matter. The unit is 2⁻⁵² of a bound of the sum, so what is lost is what a float64 of that size does not hold either.
(J. Demmel, H. D. Nguyen, "Fast reproducible floating-point summation", ARITH 2013, with one bin and a known bound.)

K addends of this rank, N numbers of each.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.run.processes import Processes

BITS = 52
"""A sum has fewer than 2^BITS units; a float64 counts to 2⁵³."""
LEAST_EXPONENT = -900
"""Of a bound: below 2 to that, which no loss or gradient is, addends are rounded to the unit of that."""


@dataclass(frozen=True)
class Units:
    """The units of N sums, whose absolute values are below given bounds."""

    unit: Tensor
    """[N], powers of two in float64; NaN where the bound is not finite, and so is the sum."""

    @classmethod
    def of(cls, bound: Tensor) -> "Units":
        """Units for sums whose partial sums, too, are at most `bound` [N] ≥ 0 in size."""
        _, exponent = torch.frexp(bound)  # bound < 2^exponent
        exponent = exponent.clamp(min=LEAST_EXPONENT) - BITS
        unit = torch.ldexp(torch.ones_like(bound), exponent)
        return cls(torch.where(bound.isfinite(), unit, torch.nan))

    def multiples(self, addend: Tensor) -> Tensor:
        """The addend [..., N] rounded, in units: whole numbers."""
        return (addend / self.unit).round_()

    def total(self, multiples: Tensor) -> Tensor:
        """A sum of multiples [N], as a number again."""
        return multiples * self.unit


def exact_sum(addends: Tensor, count: int, processes: Processes) -> Tensor:
    """The sums [N] of all ranks' addends, [K, N] in float64 on each, `count` of them on all ranks together.

    NaN where an addend is not finite. A collective.
    """
    largest = torch.where(addends.isfinite(), addends.abs(), torch.inf)
    bound = largest.amax(0) if len(addends) else addends.new_zeros(addends.shape[1])  # [N]
    units = Units.of(processes.reduced(bound, "largest") * (count + 1))  # one more for the roundings
    return units.total(processes.reduced(units.multiples(addends).sum(0), "total"))
