"""Liveness against a brute-force reachability, and canonical forms against the networks they stand for."""

import dataclasses

import networkx
import numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.space import NASREC_FULL, Architecture, InputShape, canonical, live, single_operator_any_connection
from modules.supernet import Supernet

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed: int) -> Architecture:
    """A random architecture."""
    return single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(seed))


def graph_of(architecture: Architecture) -> networkx.DiGraph:
    """Operators, mergers and outputs as nodes, data flow as edges."""
    graph = networkx.DiGraph()
    for number, block in enumerate(architecture.blocks, start=1):
        (operator,) = block.dense_operators
        dense_op, sparse_op = ("dense_op", number), ("sparse_op", number)
        binary = operator in ("sum", "sigmoid_gating")
        for source in (block.left, block.right) if binary else block.dense_inputs:
            graph.add_edge(("dense", source), dense_op)
        if operator == "dot_product":
            graph.add_edges_from((("sparse", source), dense_op) for source in block.sparse_inputs)
        graph.add_edges_from((("sparse", source), sparse_op) for source in block.sparse_inputs)
        graph.add_edges_from([(dense_op, ("dense", number)), (sparse_op, ("sparse", number))])
        if block.dense_to_sparse:
            graph.add_edges_from([(dense_op, ("to_sparse", number)), (("to_sparse", number), ("sparse", number))])
        if block.sparse_to_dense:
            graph.add_edges_from([(sparse_op, ("to_dense", number)), (("to_dense", number), ("dense", number))])
    last = len(architecture.blocks)
    graph.add_edges_from([(("dense", last), "logit"), (("sparse", last), "logit")])
    return graph


@given(SEEDS)
def test_live_is_what_reaches_the_logit(seed):
    """Each flag equals reachability of its node in the data-flow graph."""
    architecture = draw(seed)
    reaching = networkx.ancestors(graph_of(architecture), "logit")
    names = {
        "dense": "dense_op", "sparse": "sparse_op", "dense_output": "dense", "sparse_output": "sparse",
        "dense_to_sparse": "to_sparse", "sparse_to_dense": "to_dense",
    }  # fmt: skip
    for number, alive in enumerate(live(architecture), start=1):
        for field, node in names.items():
            assert getattr(alive, field) == ((node, number) in reaching), (field, number)


@given(SEEDS)
def test_canonical_is_idempotent_and_keeps_what_is_live(seed):
    """The canonical form of a canonical form is itself, and the live flags stay."""
    architecture = draw(seed)
    form = canonical(architecture)
    assert canonical(form) == form and live(form) == live(architecture)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(0, 6), SEEDS)
def test_equal_canonical_forms_are_the_same_function(seed, index, other):
    """Take over what another architecture says of one block's dead choices: same form, same logits to the bit."""
    architecture, donor = draw(seed), draw(other)
    blocks = list(architecture.blocks)
    for field in dataclasses.fields(blocks[index]):
        candidate = blocks.copy()
        candidate[index] = dataclasses.replace(
            candidate[index], **{field.name: getattr(donor.blocks[index], field.name)}
        )
        if canonical(Architecture(tuple(candidate))) == canonical(architecture):
            blocks = candidate
    changed = Architecture(tuple(blocks))
    generator = torch.Generator().manual_seed(0)
    supernet = Supernet(NASREC_FULL, InputShape(3, 4, 8), generator)
    dense, sparse = torch.rand(5, 3, generator=generator), torch.rand(5, 4, 8, generator=generator)
    assert torch.equal(supernet(dense, sparse, architecture), supernet(dense, sparse, changed))
