"""EFC against its formula and its hand count."""

import torch

from modules.operators import EmbeddedFullyConnected
from tests.modules.operators.plain import D, close, plain


def test_formula():
    """ReLU(LN(W X)): linear and norm over the field axis, for every embedding dimension alike."""
    own = plain(EmbeddedFullyConnected(), (2,), (4, 3), sparse_inputs=(0, 1), sparse_width=5)
    fields = torch.cat(own.sparse, 2)  # [B, D, 7]
    rows = [own.normed("norm", own.linear("project", fields[:, i])).clamp(min=0) for i in range(D)]
    close(own.network(own.dense, own.sparse), torch.stack(rows, 1))


def test_counts():
    """7 fields to 5 vectors in each of 8 dimensions; the weights are shared by the dimensions."""
    own = plain(EmbeddedFullyConnected(), (2,), (4, 3), sparse_inputs=(0, 1), sparse_width=5)
    assert own.multiply_accumulates == D * 7 * 5 == own.operator.nasrec_multiply_accumulates(own.block, own.inputs)
    assert own.steps[0].parameters() == 7 * 5 + 2 * 5
