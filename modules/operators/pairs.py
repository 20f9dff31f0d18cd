"""Inner products of all pairs of vectors, and how many there are.

They stand row by row below the diagonal, so that the pairs of the first vectors are the first numbers.
"""

import torch
from torch import Tensor


def inner_products(vectors: Tensor) -> Tensor:
    """Inner products of all pairs: [B, D, k] → [B, k (k − 1) / 2], row by row below the diagonal."""
    products = torch.bmm(vectors.transpose(1, 2), vectors)  # [B, k, k]
    size = products.shape[1]
    row, column = torch.tril_indices(size, size, -1, device=vectors.device).unbind(0)
    return products.flatten(1).index_select(1, row * size + column)


def pairs(vectors: int) -> int:
    """Pairs of so many vectors.

    >>> pairs(1), pairs(4)
    (0, 6)
    """
    return vectors * (vectors - 1) // 2
