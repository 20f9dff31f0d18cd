"""Node scaling."""

import pytest

from pim_codesign.circuits import NODES_NM, NodeNm, area_scale, energy_scale
from pim_codesign.circuits.scaling import SUPPLY_V


@pytest.mark.parametrize("node_nm", NODES_NM)
def test_area_is_square_and_energy_is_node_times_voltage_squared(node_nm: NodeNm) -> None:
    """area ∝ node², energy ∝ node · V², both 1 at 32 nm."""
    assert area_scale(node_nm) == (node_nm / 32) ** 2
    assert energy_scale(node_nm) == pytest.approx(node_nm * SUPPLY_V[node_nm] ** 2 / (32 * 0.9**2))
