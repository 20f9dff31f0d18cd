"""From the 32 nm of every constant to another node: area ∝ node², energy ∝ node · V²."""

REFERENCE_NODE_NM = 32
SUPPLY_V = {16: 0.7, 22: 0.8, 32: 0.9, 45: 1.0, 65: 1.1}
"""Nominal supply by node: Predictive Technology Model, high performance (Arizona State University)."""
NODES_NM = tuple(SUPPLY_V)


def area_scale(node_nm: int) -> float:
    """Area at `node_nm` over area at 32 nm.

    >>> area_scale(16), area_scale(32)
    (0.25, 1.0)
    """
    return (node_nm / REFERENCE_NODE_NM) ** 2


def energy_scale(node_nm: int) -> float:
    """Energy of a CMOS circuit at `node_nm` over that at 32 nm.

    >>> round(energy_scale(22), 3)
    0.543
    """
    return node_nm / REFERENCE_NODE_NM * (SUPPLY_V[node_nm] / SUPPLY_V[REFERENCE_NODE_NM]) ** 2
