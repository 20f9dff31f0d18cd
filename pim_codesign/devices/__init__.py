"""The chip's smallest parts: ReRAM cells and what is wrong with them."""

from pim_codesign.devices.cells import ISAAC_CELL, MNSIM_CELL, Cell
from pim_codesign.devices.nonideal import (
    DEFAULT_STUCK_AT,
    NOTHING_STUCK,
    STRESS_STUCK_AT,
    StuckAt,
    ir_drop_gain,
    milo_sigma_us,
    wan_sigma_us,
)

__all__ = [
    "DEFAULT_STUCK_AT",
    "ISAAC_CELL",
    "MNSIM_CELL",
    "NOTHING_STUCK",
    "STRESS_STUCK_AT",
    "Cell",
    "StuckAt",
    "ir_drop_gain",
    "milo_sigma_us",
    "wan_sigma_us",
]
