"""The head's layer and its columns."""

import torch

from modules.operators import Head, Inputs, Slot, StemShape
from modules.space import Block
from tests.modules.operators.plain import D, close, plain


def test_formula():
    """One linear layer over a dense output and a flattened sparse one."""
    own = plain(Head((1,), (1,)), (4, 3), (2, 6), dense_inputs=(1,), sparse_inputs=(1,))
    features = torch.cat([own.dense[1], own.sparse[1].transpose(1, 2).flatten(1)], 1)
    flattened = own.sparse[1].transpose(1, 2).flatten(1)
    close(own.network([own.dense[1], flattened]), own.linear("", features))
    assert own.multiply_accumulates == 3 + 6 * D == own.operator.nasrec_multiply_accumulates(own.block, own.inputs)


def test_columns_are_counted_from_what_it_reads():
    """An inactive merger's vectors are skipped; dense slots come before sparse ones."""
    dense, sparse = (Slot(0, 7, (0, 7)), Slot(7, 16, (0, 4))), (Slot(0, 5, (0, 5)), Slot(5, 8 + 6, (8, 11)))
    block = Block((), (), 1, 1, (1,), (1,), 0, 0, None, None)
    (step,) = Head((1,), (1,)).steps(block, Inputs(StemShape(7, 5, D), dense, sparse))
    assert step.matrix is not None
    assert step.matrix.columns == ((7, 11), (23 + (5 + 8) * D, 23 + (5 + 11) * D))
