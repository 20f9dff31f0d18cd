"""Attention against torch's own and its hand count."""

import pytest
import torch
from torch import nn

from modules.operators import Attention
from modules.operators.attention import heads_of
from tests.modules.operators.plain import D, close, plain

N = 5


def test_formula():
    """Projection, torch's own MultiheadAttention and two FCs, each with residual and norm."""
    own = plain(Attention(), (2,), (6, 1), sparse_inputs=(0,), sparse_width=N)
    reference = nn.MultiheadAttention(D, 8, batch_first=True, dtype=torch.float64)
    joined, output = own.layers["query_key_value"], own.layers["output"]
    reference.in_proj_weight, reference.in_proj_bias = joined.weight, joined.bias
    reference.out_proj.weight, reference.out_proj.bias = output.weight, output.bias
    x = own.normed("norm", own.linear("project", own.sparse[0])).transpose(1, 2)  # [B, n, D]
    x = own.normed("norm_attention", x + reference(x, x, x)[0])
    x = own.normed("norm_output", x + own.linear("contract", own.linear("expand", x).clamp(min=0)))
    close(own.network(own.dense, own.sparse), x.transpose(1, 2))


def test_counts():
    """n tokens of width D: 6 projections of D² each (queries, keys, values, output, two FCs), n²·D for QKᵀ and AV."""
    own = plain(Attention(), (2,), (6, 1), sparse_inputs=(0,), sparse_width=N)
    assert own.multiply_accumulates == D * 6 * N + 6 * N * D * D + 2 * N * N * D
    norms = 5 * 2 * N * D  # fvcore counts five operations a number of a norm with scale and shift; there are two
    assert own.operator.nasrec_multiply_accumulates(own.block, own.inputs) == own.multiply_accumulates + norms
    assert own.operator.nasrec_attention_products(own.block, own.inputs) == 2 * N * N * D
    for product in (product for step in own.steps for product in step.computed):
        assert product.count * product.vectors * product.rows * product.columns == product.multiply_accumulates
    assert sum(step.function_evaluations for step in own.steps) == N * N * 8  # one exponential a score and head
    assert [step.norm.residual for step in own.steps if step.norm] == [False, True, True]


@pytest.mark.parametrize(("width", "heads"), [(16, 8), (10, 5), (7, 7), (11, 1), (1, 1)])
def test_heads_divide_the_width(width, heads):
    """The largest number of heads up to 8 that divides D."""
    assert heads_of(width) == heads
