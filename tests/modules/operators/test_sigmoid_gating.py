"""Sigmoid gating against its formula on padded operands, and its hand count."""

import pytest
import torch
from torch.nn import functional

from modules.operators import SigmoidGating
from tests.modules.operators.plain import close, plain


@pytest.mark.parametrize(("left", "right"), [(6, 6), (4, 6), (6, 4)])
def test_equals_both_padded(left, right):
    """right · σ(V left + c), both padded with zeros to the wider, is what is computed on right's width alone."""
    own = plain(SigmoidGating(), (left, right), (3,), left=0, right=1)
    wider, generator = max(left, right), torch.Generator().manual_seed(1)
    gate, project = own.layers["gate"], own.layers["project"]
    square = torch.randn(wider, wider, generator=generator, dtype=torch.float64)  # rows beyond right multiply zeros
    square[:right, :left] = gate.weight.detach()
    shift = torch.cat([gate.bias.detach(), torch.randn(wider - right, generator=generator, dtype=torch.float64)])
    padded = [functional.pad(part, (0, wider - part.shape[1])) for part in own.dense]
    gated = padded[1] * torch.sigmoid(padded[0] @ square.T + shift)
    expected = own.normed("norm", gated @ functional.pad(project.weight, (0, wider - right)).T)
    close(own.network(own.dense, own.sparse), expected)


def test_counts():
    """A gate from 6 to 4 numbers, 4 products and sigmoids, a projection to 5; the authors compute both at width 6."""
    own = plain(SigmoidGating(), (6, 4), (3,), left=0, right=1)
    assert own.multiply_accumulates == 6 * 4 + 4 + 4 * 5
    assert [step.function_evaluations for step in own.steps] == [4, 0]
    assert own.operator.nasrec_multiply_accumulates(own.block, own.inputs) == 6 * 6 + 6 * 5
    square = plain(SigmoidGating(), (5, 5), (3,), left=0, right=1)  # no projection where the widths agree
    assert square.operator.nasrec_multiply_accumulates(square.block, square.inputs) == 5 * 5
