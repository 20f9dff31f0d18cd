"""Predicting which children are worth a training."""

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.operators import InputShape
from modules.space import NASREC_SMALL, OPEN, Architecture, SearchSpace, canonical, multiply_accumulates, mutate
from modules.space import single_operator_any_connection as drawn
from modules.space.handmade import handmade
from pipeline.search.predictor import FEWEST, promising, properties

SHAPE = InputShape(3, 5, 8)


def networks(count: int, seed: int, space: SearchSpace = OPEN) -> list[Architecture]:
    """Random ones."""
    generator = numpy.random.default_rng(seed)
    return [drawn(space, generator) for _ in range(count)]


def planted(architecture: Architecture) -> float:
    """A loss that what a network is made of decides: products are good, and so is not being deep."""
    found = properties(architecture, SHAPE)
    multiplies = any(name in found for name in ("dot_product", "field_dot_product", "cross", "field_product"))
    return 0.5 - 0.02 * multiplies + 0.004 * found["depth"] + 0.0005 * found["parts"]


@given(st.integers(0, 10_000), st.sampled_from([OPEN, NASREC_SMALL]))
@settings(max_examples=30)
def test_dead_parts_are_not_looked_at(seed: int, space: SearchSpace) -> None:
    """Two networks that compute the same have the same properties; all of them are finite."""
    generator = numpy.random.default_rng(seed)
    own = drawn(space, generator)
    for _ in range(5):
        other = mutate(own, space, generator)
        if canonical(other) == canonical(own):
            assert properties(other, SHAPE) == properties(own, SHAPE)
        own = other
    assert all(math.isfinite(value) for value in properties(own, SHAPE).values())


def test_what_a_hand_made_model_is_made_of() -> None:
    """DCN-v2's cross layers are counted as one operator of their size, which reads the stem; the depth of a DNN of
    several layers is more than a logistic regression's."""
    own = properties(handmade("dcn_v2", SHAPE), SHAPE)
    assert own["cross"] == 1 and own["cross reads of the stem"] == own["cross reads"] == 1
    assert own["multiply-accumulates"] == math.log2(1 + multiply_accumulates(handmade("dcn_v2", SHAPE), SHAPE))
    deep, flat = (properties(handmade(name, SHAPE), SHAPE)["depth"] for name in ("dnn", "logistic_regression"))
    assert deep == 4 and flat == 1


def test_it_chooses_better_than_chance() -> None:
    """Fitted on thirty networks, the chosen eighth has a better loss in the mean than nine of ten random eighths."""
    known = [(own, planted(own)) for own in networks(30, seed=1)]
    possible = networks(64, seed=2)
    losses = numpy.array([planted(own) for own in possible])
    chosen = promising(known, possible, 8, SHAPE, seed=0)
    generator = numpy.random.default_rng(3)
    by_chance = [losses[generator.choice(64, 8, replace=False)].mean() for _ in range(1000)]
    assert losses[chosen].mean() < numpy.quantile(by_chance, 0.1)


@given(st.integers(1, 20), st.integers(0, 12), st.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_places_are_different(count: int, possible: int, known: int) -> None:
    """As many as asked for, or as there are, each once; the first ones where too little is known; again the same."""
    pairs = [(own, planted(own)) for own in networks(known, seed=1)]
    others = networks(possible, seed=2)
    chosen = promising(pairs, others, count, SHAPE, seed=5)
    assert len(set(chosen)) == len(chosen) == min(count, possible) and set(chosen) <= set(range(possible))
    if known < FEWEST:
        assert chosen == list(range(len(chosen)))
    assert promising(pairs, others, count, SHAPE, seed=5) == chosen


@pytest.mark.parametrize("loss", [0.5, 0.0])
def test_equal_losses(loss: float) -> None:
    """Networks that are all alike good are no error."""
    pairs = [(own, loss) for own in networks(20, seed=1)]
    assert len(promising(pairs, networks(10, seed=2), 3, SHAPE, seed=0)) == 3
