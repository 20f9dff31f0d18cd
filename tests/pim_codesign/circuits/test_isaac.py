"""ISAAC's published totals from its component table: targets V1 and V2."""

import math

import pytest

from pim_codesign.circuits.isaac import ARRAY_ROWS, ARRAYS_PER_IMA, IMA, IMAS_PER_TILE, TILE, area_mm2, power_mw

TILES_PER_CHIP = 168
LINKS_MW, LINKS_MM2 = 10.4e3, 22.88
"""The four off-chip HyperTransport links, which this project's chips do not have."""
TILE_MW = power_mw(TILE) + IMAS_PER_TILE * power_mw(IMA)
TILE_MM2 = area_mm2(TILE) + IMAS_PER_TILE * area_mm2(IMA)
CHIP_MM2 = TILES_PER_CHIP * TILE_MM2 + LINKS_MM2


def test_v1_tile_and_chip() -> None:
    """V1: a tile is 330 mW and 0.372 mm², the chip 65.8 W and 85.4 mm², within 0.5 %."""
    assert pytest.approx(330, rel=0.005) == TILE_MW
    assert pytest.approx(0.372, rel=0.005) == TILE_MM2
    assert pytest.approx(65.8, rel=0.005) == (TILES_PER_CHIP * TILE_MW + LINKS_MW) * 1e-3
    assert pytest.approx(85.4, rel=0.005) == CHIP_MM2


def test_v2_isaac_peak() -> None:
    """V2: with 16-bit weights and inputs, 2-bit cells, 1-bit DACs and 100 ns cycles the chip has 41.3 TOPS within 2 %,
    479 GOPS/s/mm² within 2 % and 0.74 MB/mm² within 1 %."""
    arrays = TILES_PER_CHIP * IMAS_PER_TILE * ARRAYS_PER_IMA
    weights_per_row, input_cycles = ARRAY_ROWS // math.ceil(16 / 2), math.ceil(16 / 1)
    peak = 2 * arrays * ARRAY_ROWS * weights_per_row / (input_cycles * 100e-9)  # multiplications and additions
    assert peak / 1e12 == pytest.approx(41.3, rel=0.02)
    assert peak / 1e9 / CHIP_MM2 == pytest.approx(479, rel=0.02)
    assert arrays * ARRAY_ROWS**2 * 2 / 8 / 2**20 / CHIP_MM2 == pytest.approx(0.74, rel=0.01)
