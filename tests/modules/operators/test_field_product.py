"""The field product against its formula, xDeepFM's and torch's count."""

import pytest
import torch

from modules.operators import FieldProduct
from tests.modules.operators.checks import check_network
from tests.modules.operators.plain import D, close, plain

OUTPUTS = {"dense": (2,), "sparse": (4, 3, 2), "sparse_inputs": (1, 2), "sparse_width": 6}


@pytest.mark.parametrize("terms", [1, 3])
def test_formula(terms):
    """Σ_t (A_t X) ⊙ (B_t S) for every embedding dimension, its norm over the vectors and ReLU."""
    own = plain(FieldProduct(terms, norm=True, activation="relu"), **OUTPUTS)
    stem, joined = own.sparse[0], torch.cat(own.sparse[1:], 2)
    total = sum(own.linear(f"terms.{t}.left", stem) * own.linear(f"terms.{t}.right", joined) for t in range(terms))
    close(own.network(own.dense, own.sparse), own.normed("norm", total).clamp(min=0))


def test_it_has_the_low_rank_weights_of_cin():
    """Without norm: xDeepFM's Σ_ti W_h,t,i x_t ⊙ s_i, W_h the sum of the terms' outer products."""
    own = plain(FieldProduct(2, norm=False), **OUTPUTS)
    left, right = (
        torch.stack([own.layers[f"terms.{t}.{side}"].weight for t in range(2)]) for side in ("left", "right")
    )
    weights = torch.einsum("rht,rhi->hti", left, right)
    stem, joined = own.sparse[0], torch.cat(own.sparse[1:], 2)
    close(own.network(own.dense, own.sparse), torch.einsum("hti,bdt,bdi->bdh", weights, stem, joined))


@pytest.mark.parametrize("norm", [True, False])
def test_counts(norm):
    """Per term: two mixes to 6 vectors and their product, for each of 8 dimensions; torch counts the same."""
    own = plain(FieldProduct(2, norm=norm, activation="relu"), **OUTPUTS)
    check_network(own)
    assert own.multiply_accumulates == 2 * (4 * 6 + 5 * 6 + 6) * D
    assert sum(step.parameters() for step in own.steps) == 2 * (4 * 6 + 5 * 6) + 12 * norm
    assert sum(step.elementwise_operations for step in own.steps) == 6 * D + 6 * D  # a sum and ReLU


@pytest.mark.parametrize("wrong", [{"terms": 0}, {"activation": "tanh"}])
def test_impossible_options_are_refused(wrong):
    """No term and an unknown activation."""
    with pytest.raises(ValueError, match="field_product, "):
        FieldProduct(**wrong)
