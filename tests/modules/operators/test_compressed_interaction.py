"""Compressed interaction against xDeepFM's formula and torch's count."""

import pytest
import torch
from torch.nn import functional

from modules.operators import CompressedInteraction
from tests.modules.operators.checks import check_network
from tests.modules.operators.plain import B, D, close, plain

OUTPUTS = {"dense": (2,), "sparse": (4, 3, 2), "sparse_inputs": (1, 2), "sparse_width": 6}


def test_formula():
    """A layer of CIN as a convolution over all pairs' products, as xDeepFM's authors wrote it; norm and ReLU."""
    own = plain(CompressedInteraction(norm=True, activation="relu"), **OUTPUTS)
    stem, joined = own.sparse[0], torch.cat(own.sparse[1:], 2)
    pairs = (stem.transpose(1, 2)[:, :, None] * joined.transpose(1, 2)[:, None]).view(B, 4 * 5, D)
    weight = own.layers["project"].weight.view(6, 4 * 5, 1)
    cin = functional.conv1d(pairs, weight).transpose(1, 2)  # [B, D, 6]
    close(own.network(own.dense, own.sparse), own.normed("norm", cin).clamp(min=0))


@pytest.mark.parametrize("norm", [True, False])
def test_counts(norm):
    """5 vectors are mixed to 6 · 4, each multiplied with a vector of the stem; torch counts the same."""
    own = plain(CompressedInteraction(norm=norm, activation="relu"), **OUTPUTS)
    check_network(own)
    (step,) = own.steps
    assert own.multiply_accumulates == D * (5 * 24 + 24)
    assert step.parameters() == 5 * 24 + 12 * norm
    assert step.elementwise_operations == D * (6 * 3 + 6)  # sums of 4 and ReLU


def test_an_unknown_activation_is_refused():
    """The message names operator and option."""
    with pytest.raises(ValueError, match="compressed_interaction, activation: 'tanh'"):
        CompressedInteraction(activation="tanh")
