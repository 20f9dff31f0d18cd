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
    any_path,
    from_nasrec_json,
    multiply_accumulates,
    parameter_count,
    single_operator_any_connection,
    to_nasrec_json,
)
from modules.space.nasrec import NASREC_CONFIGS
from modules.space.plan import plan
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


def counted_by_hand(document: dict, shape: InputShape, attention_products: bool) -> int:
    """The authors' rule, spelled out on a file of theirs: from the head backwards, what is read is counted once."""
    size, found = shape.embedding_width, {}
    dense = [shape.integers] + [micro["dense_in_dims"] for micro in document["micro"]]
    own = [shape.fields] + [micro["sparse_in_dims"] for micro in document["micro"]]
    more = [0] + [8 * micro["dense_sparse_interact"] for micro in document["micro"]]

    def width(outputs):
        return sum(dense[output] for output in outputs)

    def vectors(outputs):
        return sum(own[output] + more[output] for output in outputs)

    def linear(inputs, outputs, times=1):
        return 0 if inputs == outputs else times * inputs * outputs

    def node(name, d, n, macro):
        """Products of one node; what it reads is read."""
        two, x, fields = macro["dense_left_idx"] + macro["dense_right_idx"], macro["dense_idx"], macro["sparse_idx"]
        wider, k = max(dense[output] for output in two), round((2 * d) ** 0.5)
        reads = {"fc": (x, ()), "dot_product": (x, fields), "sigmoid_gating": (two, ()), "sum": (two, ())}
        for side, outputs in zip(("dense", "sparse"), reads.get(name, ((), fields)), strict=True):
            for output in outputs:
                read(side, output)
        tokens = size * vectors(fields) * n + n * size * (3 * size + size + size + size) + 2 * 5 * n * size
        squares = (k + 1) ** 2 * size + linear(k * (k + 1) // 2, d)
        return {
            "fc": width(x) * d,
            "dot_product": linear(width(x), size) + linear(vectors(fields), k, size) + squares,
            "sigmoid_gating": wider**2 + linear(wider, d),
            "sum": linear(wider, d),
            "efc": size * vectors(fields) * n,
            "attention": tokens + (2 * n * n * size if attention_products else 0),
        }[name]

    def read(side, output):
        """A block's output, or what its nodes of one side make."""
        if output == 0 or (side, output) in found:
            return
        micro, macro = document["micro"][output - 1], document["macro"][output - 1]
        found[side, output] = 0
        if side in ("dense", "sparse"):
            read(f"{side} nodes", output)
            more_vectors = side == "sparse" and micro["dense_sparse_interact"]
            if more_vectors:
                read("dense nodes", output)
                found[side, output] = linear(dense[output], 8 * size)
            # The term is added in place: to the vectors too, where they are a view of the dense output.
            if micro["deep_fm"] and (side == "dense" or (more_vectors and dense[output] == 8 * size)):
                read("sparse nodes", output)
                found["term", output] = linear(size, dense[output])
            return
        branch = {operator.name for operator in getattr(NASREC_FULL, f"{side.split()[0]}_operators")}
        names = [NASREC_CONFIGS[document["config"]].operators[index].name for index in micro["active_nodes"]]
        found[side, output] = sum(node(name, dense[output], own[output], macro) for name in names if name in branch)

    last = document["num_blocks"]
    read("dense", last)
    read("sparse", last)
    return sum(found.values()) + dense[last] + (own[last] + more[last]) * size


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), SPACES, SHAPES, st.sampled_from([single_operator_any_connection, any_path]))
def test_counts_by_the_authors_rule_are_the_hand_count(seed, space, shape, sampler):
    """With and without attention's products; benchmarks/nasrec_counts.py has the authors' own counter."""
    architecture = sampler(space, numpy.random.default_rng(seed))
    document = to_nasrec_json(architecture, space)
    for rule, products in (("reference", True), ("reference_fused_attention", False)):
        assert multiply_accumulates(architecture, shape, rule) == counted_by_hand(document, shape, products)


def test_an_unknown_rule_is_refused():
    """With those that there are."""
    architecture = single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0))
    with pytest.raises(ValueError, match=r"rule: 'fvcore'; choose one of \['built', 'reference', 'reference_fused"):
        multiply_accumulates(architecture, InputShape(3, 4, 8), "fvcore")


SMALL_CRITEO = [
    # operators, d, n, dense to sparse, FM; dense inputs, sparse inputs, left, right
    ([0, 2], 256, 48, 1, 0, [0], [0], 0, 0),
    ([1, 2], 1024, 48, 1, 1, [1], [0, 1], 1, 0),
    ([0, 2], 128, 16, 1, 0, [2, 0], [2, 1, 0], 0, 0),
    ([0, 2], 16, 48, 0, 1, [2], [0, 2], 1, 2),
    ([1, 2], 128, 32, 0, 0, [0, 2, 4, 3], [4, 2], 2, 0),
    ([0, 2], 16, 64, 1, 0, [5, 2, 0, 1], [5, 2, 1], 3, 5),
    ([0, 2], 1024, 64, 0, 0, [3, 0, 5], [5, 2, 1, 0], 0, 5),
]
FULL_CRITEO = [
    ([2, 4], 128, 64, 1, 0, [0], [0], 0, 0),
    ([1, 5], 32, 64, 0, 0, [0], [0], 0, 1),
    ([1, 5], 768, 32, 0, 1, [1, 2], [2, 1, 0], 1, 2),
    ([2, 5], 768, 48, 1, 0, [0, 3], [0, 2, 1, 3], 2, 0),
    ([0, 5], 16, 16, 0, 1, [4, 0, 3, 2], [2, 3, 0, 1], 3, 1),
    ([0, 4], 768, 16, 1, 0, [4, 0, 5, 3], [4, 1], 2, 3),
    ([0, 4], 128, 48, 0, 1, [0, 3, 2], [3, 1], 6, 1),
]


@pytest.mark.parametrize(
    ("config", "rows", "counted", "without_products", "published"),
    [
        ("autoctr", SMALL_CRITEO, 2_207_808, 2_207_808, 2.20e6),
        ("xlarge", FULL_CRITEO, 1_466_217, 1_261_417, 1.45e6),
    ],
)
def test_published_architectures(config, rows, counted, without_products, published):
    """NASRecNet-Small and -Full on Criteo: as the authors' program counts, within 1.2 % of table 3."""
    flags = ("dense_sparse_interact", "deep_fm")
    micro = [
        {"active_nodes": own, "dense_in_dims": d, "sparse_in_dims": n, **dict(zip(flags, mergers, strict=True))}
        for own, d, n, *mergers, _, _, _, _ in rows
    ]
    macro = [
        {"dense_idx": dense, "sparse_idx": sparse, "dense_left_idx": [left], "dense_right_idx": [right]}
        for *_, dense, sparse, left, right in rows
    ]
    document = {"config": config, "num_blocks": 7, "micro": micro, "macro": macro}
    architecture, shape = from_nasrec_json(document, searched=True), InputShape(13, 26, 16)
    assert multiply_accumulates(architecture, shape, "reference") == counted
    assert multiply_accumulates(architecture, shape, "reference_fused_attention") == without_products
    assert counted == pytest.approx(published, rel=0.012)


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
