"""Scaling of the constants, all given at 32 nm, to another node: area ∝ node², energy ∝ node · V²."""

from typing import Literal, get_args

NodeNm = Literal[16, 22, 32, 45, 65]
NODES_NM: tuple[NodeNm, ...] = get_args(NodeNm)
"""Nodes with a known supply, nm."""
REFERENCE_NODE_NM: NodeNm = 32
SUPPLY_V: dict[NodeNm, float] = {16: 0.7, 22: 0.8, 32: 0.9, 45: 1.0, 65: 1.1}
"""Nominal supply by node, V: Predictive Technology Model, high performance (Arizona State University)."""


def area_scale(node_nm: NodeNm) -> float:
    """Area at `node_nm` over area at 32 nm.

    >>> area_scale(16), area_scale(32)
    (0.25, 1.0)
    """
    return (node_nm / REFERENCE_NODE_NM) ** 2


def energy_scale(node_nm: NodeNm) -> float:
    """Energy of a CMOS circuit at `node_nm` over that at 32 nm.

    >>> round(energy_scale(22), 3)
    0.543
    """
    return node_nm / REFERENCE_NODE_NM * (SUPPLY_V[node_nm] / SUPPLY_V[REFERENCE_NODE_NM]) ** 2
