"""Inner products of all pairs."""

import torch

from modules.operators.pairs import inner_products, pairs
from tests.modules.operators.plain import B, D, close


def test_pairs_of_the_first_vectors_come_first():
    """Every pair once, in an order that more vectors do not change; one vector has none."""
    vectors = torch.randn(B, D, 5, dtype=torch.float64)
    for count in range(1, 6):
        products = [(vectors[:, :, i] * vectors[:, :, j]).sum(1) for i in range(count) for j in range(i)]
        assert pairs(count) == len(products)
        own = inner_products(vectors[:, :, :count])
        close(own, torch.stack(products, 1) if products else own.new_zeros(B, 0))
        close(own, inner_products(vectors)[:, : pairs(count)])
