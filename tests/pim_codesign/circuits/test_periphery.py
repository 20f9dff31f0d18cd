"""Constants of the periphery against the tables they are taken from."""

import pytest

from pim_codesign.circuits import isaac, periphery
from pim_codesign.circuits.isaac import ARRAY_ROWS, ARRAYS_PER_IMA, IMA, TILE

ROWS = ARRAYS_PER_IMA * ARRAY_ROWS


def part(parts: tuple[isaac.Component, ...], name: str) -> isaac.Component:
    """One line of ISAAC's table."""
    return next(component for component in parts if component.name == name)


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        (periphery.DAC_POWER_UW, part(IMA, "dac").power_mw * 1e3 / ROWS),
        (periphery.DAC_AREA_UM2, part(IMA, "dac").area_mm2 * 1e6 / ROWS),
        (periphery.SAMPLE_HOLD_POWER_UW, part(IMA, "sample_hold").power_mw * 1e3 / ROWS),
        (periphery.SAMPLE_HOLD_AREA_UM2, part(IMA, "sample_hold").area_mm2 * 1e6 / ROWS),
        (periphery.SHIFT_ADD_AREA_UM2, part(IMA, "shift_add").area_mm2 * 1e6 / 4),
        (periphery.ADCS_PER_SHIFT_ADD, ARRAYS_PER_IMA / 4),
        (periphery.SIGMOID_LUT_POWER_MW, part(TILE, "sigmoid").power_mw / 2),
        (periphery.SIGMOID_LUT_AREA_MM2, part(TILE, "sigmoid").area_mm2 / 2),
    ],
)
def test_isaac_constants_are_its_tables_share(constant: float, expected: float) -> None:
    """A constant is the table's total over the number of units; the power of the DACs is printed rounded there."""
    assert constant == pytest.approx(expected, rel=0.005)


def test_published_energies() -> None:
    """0.080 pJ per bit from 64 KB of eDRAM, 0.39 pJ per driven row in 100 ns, 20.3 pJ per bit from DRAM, and 0.16 pJ
    for a multiply-accumulate at 32 nm (0.23 pJ at 45 nm)."""
    assert pytest.approx(0.080, abs=0.0005) == periphery.EDRAM_PJ_PER_BIT
    assert pytest.approx(0.39) == periphery.DAC_POWER_UW * 100e-9 * 1e-6 * 1e12
    assert pytest.approx(20.3, abs=0.05) == periphery.DRAM_PJ_PER_BIT
    assert pytest.approx(0.23) == periphery.MAC_ENERGY_PJ * 45 / 32
