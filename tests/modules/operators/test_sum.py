"""Sum against its formula on padded operands, and its hand count."""

import pytest
from torch.nn import functional

from modules.operators import Sum
from tests.modules.operators.plain import close, plain


@pytest.mark.parametrize(("left", "right"), [(6, 6), (4, 6), (6, 4)])
def test_formula(left, right):
    """LN(W (left + right)), both padded with zeros to the wider."""
    own = plain(Sum(), (left, right), (3,), left=0, right=1)
    total = sum(functional.pad(part, (0, 6 - part.shape[1])) for part in own.dense)
    close(own.network(own.dense, own.sparse), own.normed("norm", own.linear("project", total)))
    assert own.multiply_accumulates == 6 * 5 == own.operator.nasrec_multiply_accumulates(own.block, own.inputs)
    assert own.steps[0].elementwise_operations == 6


def test_the_authors_leave_an_equal_projection_out():
    """Two operands of the block's width cost them nothing."""
    own = plain(Sum(), (5, 5), (3,), left=0, right=1)
    assert own.operator.nasrec_multiply_accumulates(own.block, own.inputs) == 0
