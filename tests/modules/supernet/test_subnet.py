"""Standalone networks: scriptable, and their features are what the head reads."""

import dataclasses

import numpy
import pytest
import torch

from modules.operators import Linear, Norm
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    Architecture,
    InputShape,
    any_path,
    single_operator_any_connection,
)
from modules.supernet import OwnWeights, Subnet

SHAPE = InputShape(13, 26, 16)
NAMED = {operator.name: operator for operator in NASREC_FULL.dense_operators + NASREC_FULL.sparse_operators}


def inputs(shape, rows=4):
    """Random rows."""
    generator = torch.Generator().manual_seed(1)
    size = (rows, shape.fields, shape.embedding_width)
    return torch.rand(rows, shape.integers, generator=generator), torch.rand(*size, generator=generator)


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("space", [NASREC_SMALL, NASREC_FULL], ids=lambda space: space.name)
@pytest.mark.slow
def test_scripted_network_is_the_same(space, seed, layer_norm):
    """torch.jit.script of any architecture gives the same logits, with dead parts and with several operators.

    In float64, as the scripted network computes attention with torch's kernel and the other with ours.
    """
    draws = numpy.random.default_rng(seed)
    for sampler in (single_operator_any_connection, any_path):
        weights = OwnWeights(torch.Generator().manual_seed(seed), layer_norm)
        subnet = Subnet(sampler(space, draws), SHAPE, weights=weights).double()
        dense, sparse = (part.double() for part in inputs(SHAPE))
        scripted = torch.jit.script(subnet)
        for _ in range(3):  # TorchScript runs other code from the second call on
            assert torch.allclose(scripted(dense, sparse), subnet(dense, sparse), atol=1e-10)
        assert torch.allclose(scripted.features(dense, sparse), subnet.features(dense, sparse), atol=1e-10)


def test_logit_is_the_heads_product_with_the_features():
    """forward = head([features]), so the last layer can be fitted on the features alone."""
    architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(0))
    subnet = Subnet(architecture, SHAPE, torch.Generator().manual_seed(0)).double()
    dense, sparse = (part.double() for part in inputs(SHAPE))
    logit = subnet.features(dense, sparse) @ subnet.head.weight[0] + subnet.head.bias
    assert torch.allclose(logit, subnet(dense, sparse), atol=1e-12)


def test_a_row_does_not_see_its_neighbours():
    """The logit of a row is the same alone and in a batch: nothing normalizes over rows."""
    architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(4))
    subnet = Subnet(architecture, SHAPE, torch.Generator().manual_seed(0)).double()
    dense, sparse = (part.double() for part in inputs(SHAPE))
    alone = torch.cat([subnet(dense[i : i + 1], sparse[i : i + 1]) for i in range(len(dense))])
    assert torch.allclose(alone, subnet(dense, sparse), atol=1e-12)


def test_without_layer_norms_only_attentions_residual_ones_stay():
    """The published final networks: every product has a bias, and no norm stands behind it."""
    blocks = (
        dataclasses.replace(
            NASREC_FULL.widest_block(1),
            dense_operators=(NAMED["sum"], NAMED["dot_product"]),
            sparse_operators=(NAMED["attention"], NAMED["efc"]),
            dense_width=32,
            sparse_width=16,
        ),
    )
    bare = Subnet(Architecture(blocks), SHAPE, weights=OwnWeights(layer_norm=False))
    norms = [name for name, module in bare.named_modules() if isinstance(module, Norm)]
    assert norms == [f"blocks.0.sparse.attention.norm_{place}" for place in ("attention", "output")]
    linears = [module for module in bare.modules() if isinstance(module, Linear)]
    assert len(linears) == 1 + 3 + 5 + 1 + 2 + 1 and all(linear.bias is not None for linear in linears)
    dense, sparse = inputs(SHAPE)
    products = bare.blocks[0].dense["sum"]([dense], [sparse])
    torch.testing.assert_close(products, 2 * dense @ bare.blocks[0].dense["sum"].project.weight.T)
