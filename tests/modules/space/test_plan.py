"""A plan against the network that is built from it, alone and among the columns of the widest network."""

import dataclasses

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.operators import EmbeddedFullyConnected, FullyConnected, Stem
from modules.space import NASREC_FULL, OPEN, Architecture, Block, InputShape, any_path, live, stem_is_live
from modules.space.plan import Part, Slots, output_widths, plan
from modules.supernet import Subnet
from modules.supernet.widest import widest_slots

SHAPE = InputShape(3, 4, 8)
SEEDS = st.integers(0, 2**32 - 1)
SPACES = pytest.mark.parametrize("space", [NASREC_FULL, OPEN], ids=lambda space: space.name)


def draw(space, seed) -> Architecture:
    """A random training path: also several operators in a block."""
    return any_path(space, numpy.random.default_rng(seed))


def sizes(part: Part) -> list:
    """The steps of a part, their matrices without the place of the columns."""
    return [
        dataclasses.replace(
            step, matrix=step.matrix and dataclasses.replace(step.matrix, columns=((0, step.matrix.inputs),))
        )
        for step in part.steps
    ]


@SPACES
@settings(max_examples=10)
@given(SEEDS)
def test_parts_are_what_is_live(space, seed):
    """The live stem, each block's live operators and mergers, block by block, and the head; paths are unique."""
    architecture = draw(space, seed)
    parts = plan(architecture, SHAPE)
    expected = [(0, architecture.stem)] if architecture.stem.vectors and stem_is_live(architecture) else []
    for number, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
        expected += [(number, operator) for operator in alive.operators(block)]
    expected.append((len(architecture.blocks) + 1, architecture.logit))
    assert [(part.number, part.operator) for part in parts] == expected
    assert len({part.path for part in parts}) == len(parts)


@SPACES
@settings(max_examples=6)
@given(SEEDS)
def test_paths_and_counts_are_those_of_the_built_network(space, seed):
    """Every layer is the network's module of that path; each part's parameters are that module's."""
    architecture = draw(space, seed)
    network = Subnet(architecture, SHAPE)
    for part in plan(architecture, SHAPE):
        module = network.get_submodule(part.path)
        assert part.parameters() == sum(parameter.numel() for parameter in module.parameters())
        for step in part.steps:
            if step.matrix:
                layer = network.get_submodule(part.layer_path(step.name))
                assert layer.weight.shape == (step.matrix.outputs, step.matrix.inputs)


@SPACES
@settings(max_examples=10)
@given(SEEDS)
@pytest.mark.slow
def test_widths_are_those_of_the_computed_outputs(space, seed):
    """What each block hands on has the described numbers and vectors, wherever something reads it."""
    architecture = draw(space, seed)
    network = Subnet(architecture, SHAPE)
    found: list = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, inputs, output: found.append(output))
    with torch.no_grad():
        network(torch.rand(2, 3), torch.rand(2, 4, 8))
    dense, sparse = output_widths(architecture, SHAPE)
    assert len(dense) == len(sparse) == 1 + len(found)
    for number, ((made, vectors), alive) in enumerate(zip(found, live(architecture), strict=True), start=1):
        assert not alive.dense_output or made.shape == (2, dense[number])
        assert not alive.sparse_output or vectors.shape == (2, 8, sparse[number])


@SPACES
@settings(max_examples=10)
@given(SEEDS)
def test_a_subnetwork_has_the_same_layers_in_the_widest_ones_columns(space, seed):
    """In place of its own slots the widest network's move columns and change nothing else; all columns exist."""
    architecture = draw(space, seed)
    alone, inside = plan(architecture, SHAPE), plan(architecture, SHAPE, widest_slots(space, SHAPE))
    assert [part.path for part in alone] == [part.path for part in inside]
    for one, other in zip(alone, inside, strict=True):
        assert sizes(one) == sizes(other)
        assert one.multiply_accumulates == other.multiply_accumulates
        for own in () if other.path == "head" else (*other.inputs.dense, *other.inputs.sparse):
            assert 0 <= own.active[0] <= own.active[1] <= own.size
    assert plan(architecture, SHAPE, Slots.of(architecture, SHAPE)) == alone


@SPACES
@settings(max_examples=10)
@given(SEEDS)
def test_alone_no_column_is_unused(space, seed):
    """The matrix of the head, which reads all of its slots, has exactly the columns that are used, side by side."""
    architecture = draw(space, seed)
    (head,) = plan(architecture, SHAPE)[-1].steps
    columns = [column for start, stop in head.matrix.columns for column in range(start, stop)]
    assert columns == list(range(head.matrix.inputs))


def test_the_mergers_vectors_stand_in_front():
    """In the widest network's slot the operators' vectors keep their columns, with the merger and without."""
    slots = widest_slots(NASREC_FULL, SHAPE)
    block = dataclasses.replace(draw(NASREC_FULL, 0).blocks[0], sparse_width=16)
    with_merger, without = (
        dataclasses.replace(block, dense_to_sparse=merger) for merger in (NASREC_FULL.dense_to_sparse, None)
    )
    places = []
    for first in (with_merger, without):
        own = Slots.of(Architecture((first, block)), SHAPE)
        places.append(own.inputs(2, NASREC_FULL.stems[0].behind(SHAPE), slots).sparse[1])
    merged = NASREC_FULL.dense_to_sparse.width(block, SHAPE)
    assert places[0].columns[0] + merged == places[1].columns[0]
    assert places[0].columns[1] == places[1].columns[1] == places[1].columns[0] + 16


def test_a_stems_vectors_and_the_integers_use_no_column_together():
    """Dense output 0 is either; in a space with both kinds a matrix has columns for each."""
    slots = widest_slots(OPEN, SHAPE)
    block = Block((FullyConnected(),), (EmbeddedFullyConnected(),), 16, 8, (0,), (0,), 0, 0, None, None)
    used = {}
    for vectors in (0, 1, 2):
        architecture = Architecture((block,), Stem((), vectors))
        inputs = Slots.of(architecture, SHAPE).inputs(1, architecture.stem.behind(SHAPE), slots)
        used[vectors] = set(range(*inputs.dense[0].columns))
        assert len(used[vectors]) == (vectors * 8 or 3)
    assert used[0].isdisjoint(used[1]) and used[1] < used[2]


def test_a_description_that_cannot_be_built_is_refused_with_its_path():
    """What the operator says it reads and what its steps wait for are compared in every place."""

    class Silent(FullyConnected):
        name = "silent"

        def steps(self, block, inputs):
            return tuple(dataclasses.replace(step, waits_for=()) for step in super().steps(block, inputs))

    block = Block((Silent(),), (EmbeddedFullyConnected(),), 16, 8, (0,), (0,), 0, 0, None, None)
    with pytest.raises(ValueError, match=r"blocks\.0\.dense\.silent: no step waits for"):
        plan(Architecture((block,)), SHAPE)
