"""Imperfect arrays: cells that are stuck, and wires that drop voltage. docs/reram.md lists measured values."""

from dataclasses import dataclass

from pim_codesign.checks import number, whole

IR_DROP_KAPPA = 0.096
"""κ of `ir_drop_gain`: fitted to CrossSim's circuit solver on one random layer; valid for 64 to 256 rows and
gains above 0.6."""


@dataclass(frozen=True)
class StuckAt:
    """Shares of cells that cannot be programmed.

    MNSIM-2.0's SimConfig has 0.001 for each; Chen et al. (IEEE Trans. Computers 2015) measured 0.0904 low and 0.0175
    high on an early chip.
    """

    low: float
    """Share stuck at the low conductance, 0 to 1."""
    high: float
    """Share stuck at the high conductance, 0 to 1."""

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            number(f"StuckAt.{name}", getattr(self, name), least=0, most=1)
        if self.low + self.high > 1:
            raise ValueError(f"StuckAt({self.low}, {self.high}): both shares are at least 0 and their sum at most 1")


NOTHING_STUCK = StuckAt(low=0.0, high=0.0)
"""Ideal cells."""


def ir_drop_gain(rows: int, wire_ohm: float, on_ohm: float) -> float:
    """Share of the ideal column current that arrives: 1 / (1 + κ·r·R²/R_on), r one wire segment, R rows.

    Raises ValueError for a size or resistance out of range.

    >>> round(ir_drop_gain(128, wire_ohm=1.0, on_ohm=10e3), 3)
    0.864
    """
    whole("rows", rows, least=1)
    number("wire_ohm", wire_ohm, least=0)
    number("on_ohm", on_ohm, above=0)
    return 1 / (1 + IR_DROP_KAPPA * wire_ohm * rows**2 / on_ohm)
