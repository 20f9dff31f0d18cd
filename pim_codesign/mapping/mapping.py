"""A mapping: weight bits, activation bits and replication of every operator."""

from dataclasses import dataclass

from modules.operators.precision import BITS
from pim_codesign.checks import whole
from pim_codesign.mapping.workload import Workload

WEIGHT_BITS = BITS
"""Weight bits w the search may give an operator."""
ACTIVATION_BITS = BITS
"""Activation bits a the search may give an operator."""


@dataclass(frozen=True)
class OperatorMapping:
    """How one operator is laid out."""

    weight_bits: int = 8
    """w, 2 to 16."""
    activation_bits: int = 8
    """a, 2 to 16."""
    dup: int = 1
    """Copies of the operator's matrices, a power of two; a matrix with V vectors a sample has at most V copies."""

    def __post_init__(self) -> None:
        for name in ("weight_bits", "activation_bits"):
            whole(f"OperatorMapping.{name}", getattr(self, name), 2, 16)
        if whole("OperatorMapping.dup", self.dup, least=1) & (self.dup - 1):
            raise ValueError(f"OperatorMapping.dup is {self.dup}; it must be a power of two, at least 1")


@dataclass(frozen=True)
class Mapping:
    """One `OperatorMapping` for each of a workload's operators, in their order."""

    operators: tuple[OperatorMapping, ...]

    def __post_init__(self) -> None:
        for index, one in enumerate(self.operators):
            if not isinstance(one, OperatorMapping):
                raise ValueError(f"Mapping.operators[{index}] is {one!r}; give an OperatorMapping for each operator")

    @classmethod
    def uniform(cls, workload: Workload, weight_bits: int = 8, activation_bits: int = 8, dup: int = 1) -> "Mapping":
        """The same for every operator; the defaults are the naive W8A8 mapping."""
        return cls((OperatorMapping(weight_bits, activation_bits, dup),) * len(workload.operators))


def max_dup(vectors: int) -> int:
    """The largest power of two up to V. Raises ValueError for V below 1.

    >>> max_dup(1), max_dup(10), max_dup(64)
    (1, 8, 64)
    """
    whole("vectors", vectors, least=1)
    return 1 << (vectors.bit_length() - 1)
