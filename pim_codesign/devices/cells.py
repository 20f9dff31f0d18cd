"""ReRAM cells: their area, and what reading and writing one costs."""

from dataclasses import dataclass

from pim_codesign.checks import number

CELL_AREA_UM2 = 2.5e-5 * 1e6 / 128**2
"""Area of a cell at 32 nm, µm²: ISAAC (ISCA'16) table 6, a 128 × 128 crossbar of 2.5e-5 mm²."""
WRITE_ENERGY_PJ = 0.6
"""Energy of writing a cell, pJ: NVSim (TCAD'12), a SET or RESET pulse of `WRITE_TIME_NS`. A lower bound: Wan et al.
(Nature 2022) program with 8.52 µs pulses and verify."""
WRITE_TIME_NS = 10.0
"""Time of writing the cells of one row, ns: NVSim; MNSIM-2.0's SimConfig has the same 10 ns."""
ENDURANCE_WRITES = 1e12
"""Writes that a cell survives: the best reported, Ta2O5-x/TaO2-x (Lee et al., Nature Materials 2011). Products promise
1e5 to 1e6, so a lifetime computed from it is an upper bound."""


@dataclass(frozen=True)
class Cell:
    """A cell with the constants of one public tool or paper."""

    read_energy_fj: float
    """Energy of one cell in one input cycle, fJ, when all of its inputs and levels are on."""
    read_time_ns: float
    """Length of an input cycle that the cell allows, ns."""
    activity: float
    """Mean share ρ of `read_energy_fj` that is spent, above 0 and at most 1."""
    endurance_writes: float = ENDURANCE_WRITES
    """Writes after which a cell fails."""

    def __post_init__(self) -> None:
        for name in ("read_energy_fj", "read_time_ns"):
            number(f"Cell.{name}", getattr(self, name), above=0)
        number("Cell.endurance_writes", self.endurance_writes, above=0)
        number("Cell.activity", self.activity, above=0, most=1)


ISAAC_CELL = Cell(read_energy_fj=0.3e-3 * 100e-9 / 128**2 * 1e15, read_time_ns=100.0, activity=1.0)
"""1.83 fJ: ISAAC table 6 and PUMA (ASPLOS'19), 0.3 mW per 128 × 128 crossbar at 100 ns; a mean power, so ρ = 1."""
MNSIM_CELL = Cell(read_energy_fj=75.8e-9 * 3.16e-9 * 1e15, read_time_ns=3.16, activity=0.5)
"""0.239 fJ: MNSIM-2.0's SimConfig, 75.8 nW for 3.16 ns of a conducting cell; half of the input bits are on."""
