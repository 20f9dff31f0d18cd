"""Bilinear fusion against FinalMLP's formula and torch's count."""

import pytest
import torch

from modules.operators import BilinearFusion
from tests.modules.operators.checks import check_network
from tests.modules.operators.plain import B, close, plain


def own(heads, left=8, right=12):
    """Two streams of these widths, fused."""
    return plain(BilinearFusion(heads), (left, right), (2,), left=0, right=1)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_formula(heads):
    """b + w₁ᵀ x + w₂ᵀ y + xᵀ W y with the heads' matrices as the blocks on the diagonal of one W."""
    fusion = own(heads)
    x, y = fusion.dense
    matrices = [fusion.layers[f"heads.{head}.project"].weight for head in range(heads)]
    bilinear = torch.einsum("bi,ij,bj->b", x, torch.block_diag(*matrices), y)[:, None]
    close(fusion.network(fusion.dense, []), fusion.linear("left", x) + fusion.linear("right", y) + bilinear)


@pytest.mark.parametrize(("heads", "left", "right"), [(4, 13, 12), (4, 3, 6), (8, 5, 2)])
def test_uneven_widths(heads, left, right):
    """Parts are torch.tensor_split's; where one is empty the head has no product."""
    fusion = own(heads, left, right)
    found = fusion.linear("left", fusion.dense[0]) + fusion.linear("right", fusion.dense[1])
    for head, (x, y) in enumerate(zip(*(stream.tensor_split(heads, 1) for stream in fusion.dense), strict=True)):
        if x.shape[1] and y.shape[1]:
            found = found + (x * fusion.linear(f"heads.{head}.project", y)).sum(1, keepdim=True)
    close(fusion.network(fusion.dense, []), found)
    assert fusion.network(fusion.dense, []).shape == (B, 1)


@pytest.mark.parametrize("heads", [1, 4])
def test_counts(heads):
    """8 and 12 numbers weighed, 8 · 12 / H in the heads and 8 products; torch counts the same, scripted alike."""
    fusion = own(heads)
    check_network(fusion)
    assert fusion.multiply_accumulates == 8 + 12 + 8 * 12 // heads + 8


def test_no_heads_are_refused():
    """There is at least one."""
    with pytest.raises(ValueError, match="heads: 0"):
        BilinearFusion(0)
