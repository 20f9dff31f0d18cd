"""ISAAC's published totals from its component table: target V1."""

import pytest

from pim_codesign.circuits.isaac import (
    HYPER_TRANSPORT,
    IMA,
    IMAS_PER_TILE,
    TILE,
    TILES_PER_CHIP,
    area_mm2,
    power_mw,
)


def test_v1_tile_and_chip() -> None:
    """V1: a tile is 330 mW and 0.372 mm², the chip 65.8 W and 85.4 mm², within 0.5 %."""
    tile_mw = power_mw(TILE) + IMAS_PER_TILE * power_mw(IMA)
    tile_mm2 = area_mm2(TILE) + IMAS_PER_TILE * area_mm2(IMA)
    assert tile_mw == pytest.approx(330, rel=0.005)
    assert tile_mm2 == pytest.approx(0.372, rel=0.005)
    assert (TILES_PER_CHIP * tile_mw + HYPER_TRANSPORT.power_mw) * 1e-3 == pytest.approx(65.8, rel=0.005)
    assert TILES_PER_CHIP * tile_mm2 + HYPER_TRANSPORT.area_mm2 == pytest.approx(85.4, rel=0.005)
