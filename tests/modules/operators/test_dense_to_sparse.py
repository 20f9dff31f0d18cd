"""The dense → sparse merger against its formula and its hand count."""

import pytest

from modules.operators import DenseToSparse
from tests.modules.operators.plain import B, D, close, plain


def test_formula():
    """LN(W x) cut into vectors of width D."""
    own = plain(DenseToSparse(vectors=2), (6,), (3,), own=(6, 4))
    merged = own.network(own.dense[0])
    assert merged.shape == (B, D, 2)
    close(merged.reshape(B, 2 * D), own.normed("norm", own.linear("project", own.dense[0])))


def test_counts():
    """d to 8 · D numbers; nothing in the authors' code where the widths agree."""
    own = plain(DenseToSparse(), (6,), (3,), own=(6, 4))
    assert own.multiply_accumulates == 6 * 8 * D == own.operator.nasrec_multiply_accumulates(own.block, own.inputs)
    equal = plain(DenseToSparse(), (64,), (3,), own=(64, 4))
    assert equal.operator.nasrec_multiply_accumulates(equal.block, equal.inputs) == 0


def test_options_make_another_operator():
    """Operators are compared by type and options; an impossible option is refused."""
    assert DenseToSparse() == DenseToSparse(8) != DenseToSparse(2)
    with pytest.raises(ValueError, match="vectors is 0"):
        DenseToSparse(0)
