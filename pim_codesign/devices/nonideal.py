"""What is wrong with ReRAM cells: programming noise, stuck cells, IR drop. Fits, each with its valid range."""

from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike, NDArray

WAN_MAX_US = 39.3
"""Largest conductance of Wan's fit, µS."""
MILO_RANGE_US = (50.0, 225.0)
"""Conductances of Milo's fit, µS."""
IR_DROP_KAPPA = 0.096
"""κ of `ir_drop_gain`: fitted to CrossSim's circuit solver on one random layer; 64 to 256 rows, gain above 0.6."""


@dataclass(frozen=True)
class StuckAt:
    """Shares of cells that cannot be programmed."""

    low: float
    """Share stuck at the low conductance, 0 to 1."""
    high: float
    """Share stuck at the high conductance, 0 to 1."""

    def __post_init__(self) -> None:
        if min(self.low, self.high) < 0 or self.low + self.high > 1:
            raise ValueError(f"StuckAt({self.low}, {self.high}): both shares are at least 0 and their sum at most 1")


NOTHING_STUCK = StuckAt(low=0.0, high=0.0)
"""Ideal cells."""
DEFAULT_STUCK_AT = StuckAt(low=0.001, high=0.001)
"""MNSIM-2.0's SimConfig."""
STRESS_STUCK_AT = StuckAt(low=0.0904, high=0.0175)
"""Chen et al. (IEEE Trans. Computers 2015): measured on an early chip, 1.75 % stuck on and 9.04 % stuck off."""


def wan_sigma_us(conductance_us: ArrayLike) -> NDArray[numpy.float64]:
    """Standard deviation (µS) after programming, of Wan et al., Nature 2022 (fit in CrossSim); 0 to 39.3 µS.

    >>> wan_sigma_us([0.0, 20.0]).round(3).tolist()
    [1.053, 2.362]
    """
    g = _within("wan_sigma_us", conductance_us, 0.0, WAN_MAX_US)
    return 1.536e-4 * g**3 - 1.167e-2 * g**2 + 0.2374 * g + 1.053


def milo_sigma_us(conductance_us: ArrayLike) -> NDArray[numpy.float64]:
    """Standard deviation (µS) after programming, of Milo et al. (fit in CrossSim); 50 to 225 µS.

    >>> milo_sigma_us(100.0).round(4).item()
    3.8713
    """
    g = _within("milo_sigma_us", conductance_us, *MILO_RANGE_US)
    return -0.009107 * g + 4.782


def ir_drop_gain(rows: int, wire_ohm: float, on_ohm: float) -> float:
    """Share of the ideal column current that arrives: 1 / (1 + κ·r·R²/R_on), r one wire segment, R rows.

    >>> round(ir_drop_gain(128, wire_ohm=1.0, on_ohm=10e3), 3)
    0.864
    """
    return 1 / (1 + IR_DROP_KAPPA * wire_ohm * rows**2 / on_ohm)


def _within(name: str, values: ArrayLike, low: float, high: float) -> NDArray[numpy.float64]:
    array = numpy.asarray(values, dtype=numpy.float64)
    if array.size and (array.min() < low or array.max() > high):
        raise ValueError(
            f"{name}: conductances from {array.min()} to {array.max()} µS; the fit holds from {low} to {high}"
        )
    return array
