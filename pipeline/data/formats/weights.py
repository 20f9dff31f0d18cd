"""Weights of rows: what each counts for in training's loss and in every figure. They are no inputs of the model.

A weight is a finite number above 0 in float32. 0 is refused: a row that is to count for nothing is left out of the log,
and a weight of 0 is more often a mistake (a whole number divided) than a wish.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

WEIGHT_RULE = "a weight: a finite number above 0 (a row that is to count for nothing is left out)"
"""What messages call a good weight."""


class WeightError(ValueError):
    """A weight that is none; `row` counts from 0 in the column given."""

    def __init__(self, row: int, found: object) -> None:
        self.row, self.found, self.expected = row, found, WEIGHT_RULE
        super().__init__(f"row {row}: found {found!r}, expected {self.expected}")


def weight_values(column: pa.Array) -> npt.NDArray[np.float32]:
    """Weights [n] in float32. One that is missing, not finite there, or not above 0 there is a `WeightError`.

    >>> weight_values(pa.array([1, 2]))
    array([1., 2.], dtype=float32)
    """
    with np.errstate(over="ignore"):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float32)
    bad = ~((values > 0) & np.isfinite(values))
    if bad.any():
        row = int(np.argmax(bad))
        raise WeightError(row, column[row].as_py())
    return values
