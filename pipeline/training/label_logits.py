"""The logits of the rows of one label, ascending, each with what its row counts for: what metrics are summed over.

n rows; w weights, one a row, 1 where a log has none: all sums are then what they are without weights, bit for bit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy
import numpy.typing as npt

Floats = npt.NDArray[numpy.float32]
_CHUNK_ROWS = 1 << 20
"""Rows worked on at once in float64: temporaries stay under 32 MB."""


@dataclass(frozen=True)
class LabelLogits:
    """Rows of one label.

    >>> rows = LabelLogits.of(numpy.float32([2.0, -1.0]), numpy.float32([1.0, 3.0]))
    >>> rows.logits.tolist(), rows.total, rows.sum(lambda x: x), rows.sum(lambda x: x, power=2)
    ([-1.0, 2.0], 4.0, -1.0, -7.0)
    """

    logits: Floats
    """[n], ascending."""
    weights: Floats | None
    """[n], above 0; None where all rows count the same."""

    @classmethod
    def of(cls, logits: Floats, weights: Floats | None) -> "LabelLogits":
        """Rows in any order; without weights they are sorted where they lie."""
        if weights is None:
            logits.sort()
            return cls(logits, None)
        order = numpy.lexsort((weights, logits))  # of equal logits the weights decide: no order of the rows is left
        return cls(logits[order], weights[order])

    def __len__(self) -> int:
        """n."""
        return len(self.logits)

    @property
    def total(self) -> float:
        """Σ w."""
        return float(len(self.logits)) if self.weights is None else self.sum(numpy.ones_like)

    @property
    def squares(self) -> float:
        """Σ w²."""
        return self.sum(numpy.ones_like, power=2)

    def part(self, start: int, stop: int) -> "LabelLogits":
        """Those from `start` to before `stop`: a view."""
        return LabelLogits(self.logits[start:stop], None if self.weights is None else self.weights[start:stop])

    def sum(self, function: Callable[[numpy.ndarray], numpy.ndarray], power: int = 1, exact: bool = True) -> float:
        """Σ w^power function(logit) in float64, exactly rounded over chunks of the order given. `exact` off: the
        function is given float32, where equal ones are looked for."""
        return math.fsum(self._sums(function, power, exact))

    def _sums(
        self, function: Callable[[numpy.ndarray], numpy.ndarray], power: int, exact: bool
    ) -> "list[numpy.float64]":
        found = []
        for start in range(0, len(self.logits), _CHUNK_ROWS):
            chunk = self.logits[start : start + _CHUNK_ROWS]
            values = function(chunk.astype(numpy.float64) if exact else chunk)
            if self.weights is not None:
                values = values * self.weights[start : start + _CHUNK_ROWS].astype(numpy.float64) ** power
            found.append(values.sum(dtype=numpy.float64))
        return found

    def cumulated(self) -> npt.NDArray[numpy.float64]:
        """Σ w of the first 0, 1, …, n rows, [n + 1]."""
        weights = numpy.ones(len(self.logits)) if self.weights is None else self.weights
        return numpy.concatenate([numpy.zeros(1), numpy.cumsum(weights, dtype=numpy.float64)])
