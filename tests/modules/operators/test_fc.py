"""FC against its formula and its hand count."""

import torch

from modules.operators import FullyConnected
from tests.modules.operators.plain import close, plain


def test_formula():
    """ReLU(LN(W [x_0, x_2]))."""
    own = plain(FullyConnected(), (4, 5, 6), (3,), dense_width=7, dense_inputs=(0, 2))
    x = torch.cat([own.dense[0], own.dense[2]], 1)
    close(own.network(own.dense, own.sparse), own.normed("norm", own.linear("project", x)).clamp(min=0))


def test_counts():
    """10 inputs, 7 outputs: 70 multiply-accumulates by either rule, 70 weights and a norm, or 7 biases in its place."""
    own = plain(FullyConnected(), (4, 5, 6), (3,), dense_width=7, dense_inputs=(0, 2))
    (step,) = own.steps
    assert own.multiply_accumulates == 70 == own.operator.nasrec_multiply_accumulates(own.block, own.inputs)
    assert step.parameters() == 70 + 2 * 7 and step.parameters(layer_norm=False) == 70 + 7
    assert step.elementwise_operations == 7
