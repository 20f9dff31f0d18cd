"""The sparse → dense merger against its formula and its hand count."""

from modules.operators import SparseToDense
from tests.modules.operators.plain import D, close, plain


def test_formula():
    """(Σv)² − Σv² is twice the sum of all pairs' products, projected and normed."""
    own = plain(SparseToDense(), (2,), (4,), own=(5, 4))
    vectors = own.sparse[0]
    pairs = sum(2 * vectors[:, :, i] * vectors[:, :, j] for i in range(4) for j in range(i))
    close(own.network(vectors), own.normed("norm", own.linear("project", pairs)))


def test_counts():
    """4 vectors' squares and the sum's, and a projection from D to 5; squares are free in the authors' count."""
    own = plain(SparseToDense(), (2,), (4,), own=(5, 4))
    assert own.multiply_accumulates == 4 * D + D + D * 5
    assert own.operator.nasrec_multiply_accumulates(own.block, own.inputs) == D * 5
