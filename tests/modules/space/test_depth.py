"""Blocks put in and taken out: what is not concerned computes the same."""

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from modules.space import OPEN, InputShape, canonical, live, single_operator_any_connection
from modules.space.depth import with_block, without_block, without_dead_blocks
from modules.space.plan import plan
from modules.space.sampling import draw_block, draw_head

SEEDS = st.integers(0, 2**32 - 1)
SHAPE = InputShape(3, 4, 8)


def undrawn(seed):
    """A random network that may have dead blocks, and its generator."""
    generator = numpy.random.default_rng(seed)
    architecture = single_operator_any_connection(OPEN, generator)
    for number in range(1, 4):
        architecture = with_block(architecture, number, draw_block(OPEN, number, generator))
    return architecture, generator


def multiset(architecture):
    """Sizes of all matrices that are built: what a network is made of, whatever its blocks' numbers."""
    steps = [step for part in plan(architecture, SHAPE) for step in part.steps]
    return sorted((s.matrix.outputs, s.matrix.inputs, s.matrix.vectors) for s in steps if s.matrix)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 7))
def test_a_block_that_nothing_reads_changes_nothing(seed, place):
    """Inserted anywhere: the same operators on the same inputs; taken out again, the same architecture."""
    generator = numpy.random.default_rng(seed)
    architecture = single_operator_any_connection(OPEN, generator)
    number = min(place, len(architecture.blocks) + 1)
    grown = with_block(architecture, number, draw_block(OPEN, number, generator))
    assert len(grown.blocks) == len(architecture.blocks) + 1
    assert not any((alive.dense, alive.sparse) != (False, False) for alive in [live(grown)[number - 1]])
    assert multiset(grown) == multiset(architecture)
    assert without_block(grown, number) == architecture


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_dead_blocks_are_taken_out(seed):
    """The same matrices are built, and every block that is left is live, unless it is the last one."""
    architecture, _ = undrawn(seed)
    pruned = without_dead_blocks(architecture, 1, OPEN.max_inputs)
    assert multiset(pruned) == multiset(architecture)
    alive = [own.dense or own.sparse for own in live(pruned)]
    assert all(alive) or len(alive) == 1
    OPEN.check(pruned)
    assert canonical(without_dead_blocks(pruned, 1, OPEN.max_inputs)) == canonical(pruned)


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_a_live_block_is_bridged(seed):
    """What read the block reads the block's inputs; no list of inputs grows too long."""
    architecture, generator = undrawn(seed)
    number = 1 + int(generator.integers(len(architecture.blocks)))
    gone, shorter = architecture.blocks[number - 1], without_block(architecture, number, OPEN.max_inputs)
    OPEN.check(shorter)
    for before, after in zip(architecture.blocks[number:], shorter.blocks[number - 1 :], strict=True):
        for field in ("dense_inputs", "sparse_inputs"):
            moved = {output - (output > number) for output in getattr(before, field) if output != number}
            if number in getattr(before, field):
                moved |= set(getattr(gone, field))
            assert getattr(after, field) == tuple(sorted(moved))[: OPEN.max_inputs]


def test_the_head_is_drawn_with_an_output_of_the_last_block():
    """So that the last block is live; each of the seven others, stems included, is read as likely as not."""
    generator = numpy.random.default_rng(0)
    heads = [draw_head(3, generator) for _ in range(2000)]
    assert all(3 in head.dense + head.sparse for head in heads)
    counts = numpy.bincount([len(head.dense) + len(head.sparse) - 1 for head in heads], minlength=8)
    assert stats.chisquare(counts, stats.binom(7, 0.5).pmf(numpy.arange(8)) * len(heads)).pvalue > 1e-3
    read = numpy.sum(
        [[output in side for output in range(3)] for head in heads for side in (head.dense, head.sparse)], 0
    )
    assert stats.chisquare(read).pvalue > 1e-3
