"""What a candidate may cost at most: the settings that every strategy has."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modules.space import Architecture, InputShape


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest costs of a candidate; 0: no limit.

    Multiply-accumulates and parameters are counted exactly, so an architecture over these limits is drawn again and
    never proposed: the number of candidates is spent on architectures that may be chosen. Latency is measured, once for
    each candidate and before it is scored; one over its limit is recorded as refused, counts as one of the candidates,
    and is neither a parent nor a winner. A time that was measured differs from run to run, so only searches that need
    it measure it, and those find other candidates each time (a search that is continued reads what it had measured).
    """

    max_mflops: float = 0.0
    """Million multiply-accumulates per row (the field writes FLOPs), embeddings not counted, at most; at least 0."""
    max_params: int = 0
    """Parameters, embedding tables not counted, at most; at least 0."""
    max_latency_us: float = 0.0
    """Microseconds that a batch of 256 rows takes on one CPU thread, embeddings not counted, at most; at least 0."""

    def __post_init__(self) -> None:
        for field in ("max_mflops", "max_params", "max_latency_us"):
            if not 0 <= getattr(self, field) < math.inf:
                raise ValueError(f"search.{field} is {getattr(self, field)}; it must be at least 0 (0: no limit)")

    @property
    def measures_latency(self) -> bool:
        """Whether candidates' latency is measured."""
        return self.max_latency_us > 0

    def allows(self, architecture: "Architecture", shape: "InputShape") -> bool:
        """Whether an architecture is within the limits that are counted."""
        from modules.space import multiply_accumulates, parameter_count  # not above: settings are read without torch

        if self.max_mflops and multiply_accumulates(architecture, shape) > 1e6 * self.max_mflops:
            return False
        return not self.max_params or parameter_count(architecture, shape) <= self.max_params
