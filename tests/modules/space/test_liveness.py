"""Liveness against a brute-force reachability, and canonical forms against the networks they stand for."""

import dataclasses
import functools

import networkx
import numpy
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modules.operators import Head
from modules.space import (
    NASREC_FULL,
    OPEN,
    Architecture,
    InputShape,
    canonical,
    live,
    single_operator_any_connection,
    stem_is_live,
)
from modules.space.plan import plan
from modules.supernet import Supernet

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed: int) -> Architecture:
    """A random architecture."""
    return single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(seed))


def graph_of(architecture: Architecture) -> networkx.DiGraph:
    """Operators, mergers and outputs as nodes, data flow as edges."""
    graph = networkx.DiGraph()
    for number, block in enumerate(architecture.blocks, start=1):
        (operator,) = (operator.name for operator in block.dense_operators)
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
    for block, alive in zip(form.blocks, live(form), strict=True):
        assert (block.dense_operators == ()) == (not alive.dense)
        assert (block.sparse_operators == ()) == (not alive.sparse)


def dead_fields(architecture: Architecture, index: int) -> list[str]:
    """Fields of a block that change nothing, by a walk over the data-flow graph; those of its dead operators."""
    reaching = networkx.ancestors(graph_of(architecture), "logit")
    block, number = architecture.blocks[index], index + 1
    dense, sparse = ("dense_op", number) in reaching, ("sparse_op", number) in reaching
    (operator,) = (operator.name for operator in block.dense_operators)
    binary = dense and operator in ("sum", "sigmoid_gating")
    dead = {
        "dense_operators": not dense, "dense_width": not dense, "sparse_operators": not sparse,
        "sparse_width": not sparse, "dense_inputs": not dense or binary,
        "sparse_inputs": not sparse and not (dense and operator == "dot_product"),
        "left": not binary, "right": not binary,
        "dense_to_sparse": ("sparse", number) not in reaching, "sparse_to_dense": ("dense", number) not in reaching,
    }  # fmt: skip
    return [field for field, is_dead in dead.items() if is_dead]


def with_field(architecture: Architecture, index: int, field: str, donor: Architecture) -> Architecture:
    """The architecture with one field of one block taken from another."""
    blocks = list(architecture.blocks)
    blocks[index] = dataclasses.replace(blocks[index], **{field: getattr(donor.blocks[index], field)})
    return Architecture(tuple(blocks))


@given(SEEDS, SEEDS)
@pytest.mark.slow
def test_canonical_forms_differ_exactly_by_what_is_live(seed, other):
    """Every dead choice may be another without changing the form, and every live choice that changes, changes it."""
    architecture, donor = draw(seed), draw(other)
    form = canonical(architecture)
    for index in range(7):
        dead = dead_fields(architecture, index)
        for field in (field.name for field in dataclasses.fields(architecture.blocks[index])):
            changed = with_field(architecture, index, field, donor)
            same = field in dead or changed == architecture
            assert (canonical(changed) == form) == same, (index, field)


@functools.cache
def small_supernet() -> Supernet:
    """Random weights, the head's too, on few inputs."""
    generator = torch.Generator().manual_seed(0)
    supernet = Supernet(NASREC_FULL, InputShape(3, 4, 8), generator)
    torch.nn.init.normal_(supernet.get_parameter("widest.head.weight"), generator=generator)
    return supernet


@settings(max_examples=15, deadline=None)
@given(SEEDS, SEEDS)
@pytest.mark.slow
def test_equal_canonical_forms_are_the_same_function(seed, other):
    """Take over what another architecture says of all dead choices: same form, same logits to the bit."""
    architecture, donor = draw(seed), draw(other)
    changed = architecture
    for index in range(7):
        for field in dead_fields(architecture, index):
            changed = with_field(changed, index, field, donor)
    assume(changed != architecture)
    assert canonical(changed) == canonical(architecture)
    generator = torch.Generator().manual_seed(1)
    dense, sparse = torch.rand(5, 3, generator=generator), torch.rand(5, 4, 8, generator=generator)
    supernet = small_supernet()
    logit = supernet(dense, sparse, architecture)
    assert logit.std() > 0
    assert torch.equal(logit, supernet(dense, sparse, changed))


@settings(deadline=None)
@given(SEEDS)
def test_canonical_forms_of_the_open_space_are_the_same_networks(seed):
    """The same operators in the same places, with as many parameters and products; the form of a form is itself."""
    architecture = single_operator_any_connection(OPEN, numpy.random.default_rng(seed))
    form, shape = canonical(architecture), InputShape(3, 4, 8)
    assert canonical(form) == form
    one, other = (
        [(part.path, part.operator.name, part.multiply_accumulates, part.parameters()) for part in plan(own, shape)]
        for own in (architecture, form)
    )
    assert one == other


@settings(deadline=None)
@given(SEEDS, st.data())
@pytest.mark.slow
def test_stem_head_and_options_matter_where_they_are_live(seed, data):
    """Another stem is another network exactly where a live operator or the head reads it, and so are options."""
    architecture = single_operator_any_connection(OPEN, numpy.random.default_rng(seed))
    stem = data.draw(st.sampled_from(OPEN.stems).filter(lambda other: other != architecture.stem))
    changed = dataclasses.replace(architecture, stem=stem)
    assert (canonical(changed) == canonical(architecture)) == (not stem_is_live(architecture))
    number = data.draw(st.integers(0, len(architecture.blocks) - 1))
    block, alive = architecture.blocks[number], live(architecture)[number]
    field, is_live = data.draw(st.sampled_from([("dense_operators", alive.dense), ("sparse_operators", alive.sparse)]))
    (operator,) = getattr(block, field)
    choices = [(name, value) for name, values in operator.options.items() for value in values]
    for name, value in choices:
        other = operator.with_options({name: value})
        blocks = list(architecture.blocks)
        blocks[number] = dataclasses.replace(block, **{field: (other,)})
        same = other.canonical() == operator.canonical() or not is_live
        mutant = dataclasses.replace(architecture, blocks=tuple(blocks))
        assert (canonical(mutant) == canonical(architecture)) == same or live(mutant) != live(architecture)


def test_a_head_that_is_written_down_is_the_same_network():
    """Both outputs of the last block, said or not."""
    architecture = draw(0)
    assert canonical(dataclasses.replace(architecture, head=Head((7,), (7,)))) == canonical(architecture)
    assert canonical(dataclasses.replace(architecture, head=Head((7,), ()))) != canonical(architecture)
