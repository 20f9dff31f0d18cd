"""Samplers: valid, seeded, and distributed as NASRec has it."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    InputShape,
    any_path,
    canonical,
    full_path,
    live,
    multiply_accumulates,
    single_operator_any_connection,
    single_path,
)
from modules.space.plan import plan
from modules.space.sampling import SAMPLERS, draw_inputs, warmed_up

SPACES = st.sampled_from([NASREC_SMALL, NASREC_FULL, OPEN])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), SPACES)
@pytest.mark.slow
def test_searchable_samples_lie_in_the_space(seed, space):
    """The method's sampler and single-path give candidates, any-path and full-path training paths."""
    generator = numpy.random.default_rng(seed)
    space.check(single_operator_any_connection(space, generator))
    path = single_path(space, generator)
    space.check(path)
    assert all(len(block.dense_inputs) == len(block.sparse_inputs) == 1 for block in path.blocks)
    for sampler in (any_path, full_path):
        path = sampler(space, generator)
        space.check_path(path)
        plan(path, InputShape(3, 4, 8))  # summed outputs are of one width


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(SAMPLERS)))
def test_the_same_generator_draws_the_same(seed, name):
    """A sampler is a pure function of space and generator state."""
    first, second = (SAMPLERS[name](NASREC_FULL, numpy.random.default_rng(seed)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("outputs", [1, 3, 7])
def test_number_of_inputs_is_one_plus_binomial(outputs):
    """Chi-squared against 1 + Binomial(min(m − 1, 3), ½); each output is as likely as another."""
    generator = numpy.random.default_rng(1)
    drawn = [draw_inputs(NASREC_FULL, outputs, generator) for _ in range(4000)]
    trials = min(outputs - 1, 3)
    counts = numpy.bincount([len(inputs) - 1 for inputs in drawn], minlength=trials + 1)
    expected = stats.binom(trials, 0.5).pmf(numpy.arange(trials + 1)) * len(drawn)
    assert stats.chisquare(counts, expected).pvalue > 1e-3 if trials else counts[0] == len(drawn)
    uses = numpy.bincount([index for inputs in drawn for index in inputs], minlength=outputs)
    assert outputs == 1 or stats.chisquare(uses).pvalue > 1e-3


@pytest.mark.slow
def test_warm_up_draws_the_full_path_less_and_less():
    """The full path's share falls linearly from 1 to 0."""

    def share(step):
        sampler = warmed_up(single_operator_any_connection, step, 100)
        generator = numpy.random.default_rng(step)
        drawn = [sampler(NASREC_SMALL, generator) for _ in range(400)]
        return sum(len(path.blocks[0].dense_operators) == 2 for path in drawn) / len(drawn)

    assert share(0) == 1 and share(100) == share(500) == 0
    assert share(50) == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_random_networks_of_the_open_space_are_shallow_and_cheap():
    """Median below half a million multiply-accumulates at 26 fields and D = 16; mostly 1 to 5 blocks, all live."""
    generator, shape = numpy.random.default_rng(0), InputShape(13, 26, 16)
    drawn = [single_operator_any_connection(OPEN, generator) for _ in range(400)]
    assert numpy.median([multiply_accumulates(one, shape) for one in drawn]) < 5e5
    assert numpy.mean([len(one.blocks) <= 5 for one in drawn]) > 0.95
    assert all(alive.dense or alive.sparse for one in drawn for alive in live(one))
    assert len({canonical(one) for one in drawn}) > 395
    assert any(0 in one.logit.dense + one.logit.sparse for one in drawn)
