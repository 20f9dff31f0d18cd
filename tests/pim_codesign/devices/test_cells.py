"""Cells against the figures they are derived from."""

import pytest

from pim_codesign.circuits.isaac import ARRAY_ROWS, ARRAYS_PER_IMA, IMA
from pim_codesign.devices import ISAAC_CELL, MNSIM_CELL
from pim_codesign.devices.cells import CELL_AREA_UM2, WRITE_ENERGY_PJ

ARRAY = next(part for part in IMA if part.name == "array")
CELLS = ARRAYS_PER_IMA * ARRAY_ROWS**2


def test_isaac_cells_are_its_table() -> None:
    """All cells of an IMA read for a cycle of 100 ns take the table's array power, and its area."""
    energy_j = ARRAY.power_mw * 1e-3 * ISAAC_CELL.read_time_ns * 1e-9
    assert CELLS * ISAAC_CELL.activity * ISAAC_CELL.read_energy_fj * 1e-15 == pytest.approx(energy_j)
    assert pytest.approx(ARRAY.area_mm2) == CELLS * CELL_AREA_UM2 * 1e-6


def test_published_read_energies() -> None:
    """1.83 fJ per cell and cycle for ISAAC, 0.239 fJ for MNSIM-2.0; writing takes far more than reading."""
    assert ISAAC_CELL.read_energy_fj == pytest.approx(1.83, abs=0.005)
    assert MNSIM_CELL.read_energy_fj == pytest.approx(0.2395, abs=0.0005)
    assert 100 * ISAAC_CELL.read_energy_fj < WRITE_ENERGY_PJ * 1e3
