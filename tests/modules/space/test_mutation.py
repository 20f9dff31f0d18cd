"""Mutations: valid, seeded, and each kind happens."""

import collections
import dataclasses

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.operators import InputShape
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    Block,
    canonical,
    live,
    mutate,
    single_operator_any_connection,
)
from modules.space.handmade import HANDMADE, handmade

SEEDS = st.integers(0, 2**32 - 1)
SPACES = [NASREC_SMALL, NASREC_FULL, OPEN]


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.sampled_from(SPACES))
def test_mutants_lie_in_the_space(seed, space):
    """Ten mutations, one after another; the same generator makes the same mutants."""
    generator, again = numpy.random.default_rng(seed), numpy.random.default_rng(seed)
    architecture = single_operator_any_connection(space, generator)
    assert architecture == single_operator_any_connection(space, again)
    for _ in range(10):
        mutant = mutate(architecture, space, generator)
        space.check(mutant)
        assert mutant == mutate(architecture, space, again)
        architecture = mutant


@pytest.mark.parametrize("space", [NASREC_SMALL, NASREC_FULL], ids=lambda space: space.name)
def test_nasrecs_mutation_changes_one_field_of_one_block(space):
    """Both operators together; connections as likely as not."""
    generator = numpy.random.default_rng(0)
    architecture = single_operator_any_connection(space, generator)
    counts = collections.Counter()
    for _ in range(600):
        mutant = mutate(architecture, space, generator)
        assert (mutant.stem, mutant.head) == (architecture.stem, architecture.head)
        pairs = list(zip(architecture.blocks, mutant.blocks, strict=True))
        changed = [(one, other) for one, other in pairs if one != other]
        assert len(changed) <= 1
        for one, other in changed:
            fields = {f.name for f in dataclasses.fields(Block) if getattr(one, f.name) != getattr(other, f.name)}
            assert len(fields) == 1 or fields == {"dense_operators", "sparse_operators"}
            counts.update(fields)
    assert set(space.connections) <= set(counts)


@pytest.mark.slow
def test_every_kind_of_mutation_happens_in_the_open_space():
    """Depth up and down, head, stem, options alone, operators; blocks stay live; most mutants are other networks."""
    generator = numpy.random.default_rng(0)
    seen, same = collections.Counter(), 0
    for _ in range(500):
        architecture = single_operator_any_connection(OPEN, generator)
        mutant = mutate(architecture, OPEN, generator)
        same += canonical(mutant) == canonical(architecture)
        assert len(mutant.blocks) == 1 or all(alive.dense or alive.sparse for alive in live(mutant))
        grown = len(mutant.blocks) - len(architecture.blocks)
        seen["deeper"] += grown > 0
        seen["shallower"] += grown < 0
        seen["stem"] += mutant.stem != architecture.stem
        seen["head"] += grown == 0 and mutant.head != architecture.head
        if grown == 0:
            for one, other in zip(architecture.blocks, mutant.blocks, strict=True):
                pairs = [*zip(one.dense_operators, other.dense_operators, strict=True)]
                pairs += zip(one.sparse_operators, other.sparse_operators, strict=True)
                different = [pair for pair in pairs if pair[0] != pair[1]]
                seen["options"] += any(a.is_variant_of(b) for a, b in different)
                seen["operators"] += any(a.name != b.name for a, b in different)
    assert min(seen[kind] for kind in ("deeper", "shallower", "stem", "head", "options", "operators")) >= 10, seen
    assert same < 250


@pytest.mark.parametrize("name", HANDMADE)
def test_hand_made_models_can_be_mutated(name):
    """Twenty mutants of each lie in the space."""
    generator, parent = numpy.random.default_rng(0), handmade(name, InputShape(3, 5, 16))
    mutants = [mutate(parent, OPEN, generator) for _ in range(20)]
    for mutant in mutants:
        OPEN.check(mutant)
    assert len({canonical(mutant) for mutant in mutants} - {canonical(parent)}) > 5
