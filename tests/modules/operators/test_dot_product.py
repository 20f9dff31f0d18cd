"""The operator-balanced dot product against its formula and its hand count."""

import torch

from modules.operators import DotProduct
from tests.modules.operators.plain import D, close, plain

K = 3  # round(√(2 · 5))


def test_formula():
    """Pairwise inner products of x and k projected fields, pair by pair, behind x."""
    own = plain(DotProduct(), (4, 2), (6, 3), dense_width=5, dense_inputs=(0, 1), sparse_inputs=(1,))
    x = own.normed("norm_dense", own.linear("project_dense", torch.cat(own.dense, 1)))
    y = own.normed("norm_fields", own.linear("project_fields", own.sparse[1]))
    vectors = [x] + [y[:, :, i] for i in range(K)]
    pairs = [(vectors[i] * vectors[j]).sum(1) for i in range(K + 1) for j in range(i)]
    read = torch.cat([x, torch.stack(pairs, 1)], 1)
    close(own.network(own.dense, own.sparse), own.normed("norm", own.linear("project", read)))


def test_counts():
    """Projections of 6 numbers and 3 fields, 6 pairs of width 8, a projection of 8 + 6 to 5."""
    own = plain(DotProduct(), (4, 2), (6, 3), dense_width=5, dense_inputs=(0, 1), sparse_inputs=(1,))
    assert own.multiply_accumulates == 6 * D + D * 3 * K + 6 * D + (D + 6) * 5
    # The authors leave out the projection of 3 fields to 3, and their inner products are the full square.
    assert own.operator.nasrec_multiply_accumulates(own.block, own.inputs) == 6 * D + 0 + 16 * D + 6 * 5
    dense, fields, _ = own.steps
    assert {read.side for read in dense.waits_for} == {"dense"} and {r.side for r in fields.waits_for} == {"sparse"}
