"""FC on dense outputs and flattened vectors: formula, counts, options."""

import pytest
import torch

from modules.operators import WideFullyConnected
from tests.modules.operators.checks import check_network, flat
from tests.modules.operators.plain import D, close, plain

OUTPUTS = {"dense": (3, 2), "sparse": (4, 6), "dense_inputs": (0, 1), "sparse_inputs": (1,)}


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("sides", ["dense", "sparse", "both"])
@pytest.mark.parametrize("fields", [0, 8])
def test_formula(sides, fields, norm):
    """act(LN(W [x, flattened X or P X])); the bias stands where there is no norm."""
    own = plain(WideFullyConnected(sides, fields, norm), **OUTPUTS)
    parts = [own.dense[0], own.dense[1]] if sides != "sparse" else []
    if sides != "dense":
        parts.append(flat(own.linear("project_fields", own.sparse[1]) if fields else own.sparse[1]))
    x = own.linear("project", torch.cat(parts, 1))
    assert (own.layers["project"].bias is None) == norm
    close(own.network(own.dense, own.sparse), (own.normed("norm", x) if norm else x).relu())
    check_network(own)
    widths = 5 * (sides != "sparse") + (fields or 6) * D * (sides != "dense")
    assert own.multiply_accumulates == widths * 5 + 6 * fields * D * (sides != "dense")


def test_what_projects_nothing_is_the_same_operator():
    """Where the sparse inputs are not read, a projection of them changes nothing."""
    assert WideFullyConnected("dense", 8).canonical() == WideFullyConnected("dense").canonical()
    assert WideFullyConnected("both", 8).canonical() != WideFullyConnected("both").canonical()
