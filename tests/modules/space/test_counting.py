"""Counts against networks that were built and run, and against the authors' published figures."""

import dataclasses

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from modules.operators import DotProduct, FullyConnected, Linear, Norm
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    Architecture,
    InputShape,
    multiply_accumulates,
    parameter_count,
    plan,
    single_operator_any_connection,
)
from modules.supernet import OwnWeights, Subnet
from tests.modules.operators.checks import EACH_PAIR_ONCE

SHAPES = st.builds(InputShape, st.integers(1, 20), st.integers(1, 30), st.sampled_from([4, 10, 16]))
# Heads of 4 and 5: torch's own attention, whose products torch's counter leaves out on CPU.
WIDE_SHAPES = st.builds(InputShape, st.integers(1, 20), st.integers(1, 30), st.sampled_from([32, 40]))
SPACES = st.sampled_from([NASREC_SMALL, NASREC_FULL])


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), SPACES, SHAPES, st.booleans())
def test_parameters_and_matrices_are_those_of_the_built_network(seed, space, shape, layer_norm):
    """parameter_count, and every matrix by name, shape and bias, equal a brute-force walk over the module tree."""
    architecture = single_operator_any_connection(space, numpy.random.default_rng(seed))
    subnet = Subnet(architecture, shape, weights=OwnWeights(layer_norm=layer_norm))
    built = sum(parameter.numel() for parameter in subnet.parameters())
    assert parameter_count(architecture, shape, layer_norm) == built
    steps = [(part.layer_path(step.name), step) for part in plan(architecture, shape) for step in part.steps]
    counted = {name: (s.matrix.outputs, s.matrix.inputs, s.has_bias(layer_norm)) for name, s in steps if s.matrix}
    linears = {name: m for name, m in subnet.named_modules() if isinstance(m, Linear)}
    assert counted == {name: (*m.weight.shape, m.bias is not None) for name, m in linears.items()}
    assert sum(step.has_norm(layer_norm) for _, step in steps) == sum(isinstance(m, Norm) for m in subnet.modules())


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), SPACES, WIDE_SHAPES)
def test_products_are_those_torch_runs(seed, space, shape):
    """Products counted per row, elementwise ones and attention's included, are those that torch's counter sees run."""
    architecture = single_operator_any_connection(space, numpy.random.default_rng(seed))
    rows = 3
    network = Subnet(architecture, shape)
    inputs = torch.rand(rows, shape.integers), torch.rand(rows, shape.fields, shape.embedding_width)
    with FlopCounterMode(display=False, custom_mapping=EACH_PAIR_ONCE) as counter, torch.no_grad():
        network(*inputs)
    assert counter.get_total_flops() == 2 * rows * multiply_accumulates(architecture, shape)


SMALL_CRITEO = [
    # dense, sparse operator, d, n, dense inputs, sparse inputs, left, right, dense to sparse, FM
    ("fc", 256, 48, [0], [0], True, False),
    ("dot_product", 1024, 48, [1], [0, 1], True, True),
    ("fc", 128, 16, [0, 2], [0, 1, 2], True, False),
    ("fc", 16, 48, [2], [0, 2], False, True),
    ("dot_product", 128, 32, [0, 2, 3, 4], [2, 4], False, False),
    ("fc", 16, 64, [0, 1, 2, 5], [1, 2, 5], True, False),
    ("fc", 1024, 64, [0, 3, 5], [0, 1, 2, 5], False, False),
]


def test_published_small_architecture():
    """NASRecNet-Small on Criteo: 2.20 M multiply-accumulates (NASRec, table 3) within 1 %, by the reference's rule."""
    blocks = [
        {
            "dense_operators": [operator], "sparse_operators": ["efc"], "dense_width": d, "sparse_width": n,
            "dense_inputs": dense, "sparse_inputs": sparse, "left": 0, "right": 0,
            "dense_to_sparse": to_sparse, "sparse_to_dense": to_dense,
        }
        for operator, d, n, dense, sparse, to_sparse, to_dense in SMALL_CRITEO
    ]  # fmt: skip
    architecture = Architecture.from_json({"blocks": blocks}, NASREC_SMALL)
    NASREC_SMALL.check(architecture)
    assert multiply_accumulates(architecture, InputShape(13, 26, 16), rule="reference") / 1e6 == pytest.approx(
        2.20, rel=0.01
    )


def test_an_operator_that_is_not_the_authors_has_no_count_of_theirs():
    """The rule "reference" refuses it by name; as built it is counted."""

    class Own(FullyConnected):
        name = "own"

        def nasrec_multiply_accumulates(self, block, inputs):
            return None

    space = dataclasses.replace(NASREC_SMALL, dense_operators=(DotProduct(), Own()))
    architecture = Architecture((dataclasses.replace(space.widest_block(1), dense_operators=(Own(),)),))
    shape = InputShape(3, 4, 8)
    assert multiply_accumulates(architecture, shape) > 0
    with pytest.raises(ValueError, match=r"blocks\.0\.dense\.own: the authors' code has no operator 'own'"):
        multiply_accumulates(architecture, shape, rule="reference")
