"""The chip's smallest parts: ReRAM cells, and what makes them imperfect."""

from pim_codesign.devices.cells import ISAAC_CELL, MNSIM_CELL, Cell
from pim_codesign.devices.nonideal import NOTHING_STUCK, StuckAt, ir_drop_gain

__all__ = ["ISAAC_CELL", "MNSIM_CELL", "NOTHING_STUCK", "Cell", "StuckAt", "ir_drop_gain"]
