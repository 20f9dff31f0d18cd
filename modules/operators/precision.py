"""The bits in which the matrices of an operator are multiplied: a value of an architecture.

An integer of b bits with a sign lies in −(2^(b−1) − 1) … 2^(b−1) − 1: symmetric, so that zero is exact.
"""

from dataclasses import dataclass

BITS = (4, 6, 8)
"""Bits that a search may give weights, and that it may give activations, ascending (AutoRAC, arXiv:2505.10748)."""


@dataclass(frozen=True, order=True)
class Precision:
    """Bits of an operator's weights and of the activations that enter its matrices."""

    weight_bits: int
    """Of `BITS`."""
    activation_bits: int
    """Of `BITS`."""

    def __post_init__(self) -> None:
        for name in ("weight_bits", "activation_bits"):
            bits = getattr(self, name)
            if type(bits) is not int or bits not in BITS:
                raise ValueError(f"Precision.{name} is {bits!r}; choose one of {list(BITS)}")

    def __str__(self) -> str:
        """As tables have it.

        >>> str(Precision(4, 8))
        'W4A8'
        """
        return f"W{self.weight_bits}A{self.activation_bits}"


FLOAT = None
"""What stands for an operator that computes in floating point."""

PRECISIONS = tuple(Precision(weight, activation) for weight in BITS for activation in BITS)
"""All pairs of bits."""


def levels(bits: int) -> int:
    """The largest integer.

    >>> levels(4), levels(8)
    (7, 127)
    """
    return 2 ** (bits - 1) - 1
