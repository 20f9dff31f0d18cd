"""Regularized evolution: the schedule, the tournament, aging, and what a mutation may change."""

import dataclasses

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    Architecture,
    Block,
    InputShape,
    SearchSpace,
    mutate,
    single_operator_any_connection,
)
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import EvolutionConfig
from pipeline.search.evolution import RegularizedEvolution, mutations_per_child

FIELDS_OF_A_MUTATION = {
    **{name: {name} for name in (field.name for field in dataclasses.fields(Block))},
    "dense_operators": {"dense_operators", "sparse_operators"},
    "sparse_operators": {"dense_operators", "sparse_operators"},
}


SHAPE = InputShape(integers=3, fields=5, embedding_width=4)


def test_published_schedule() -> None:
    """Over the published 240 generations a child has 6 mutations at first, never more than before, 1 at the end."""
    schedule = [mutations_per_child(generation, 240) for generation in range(240)]
    assert schedule[0] == 6
    assert schedule[-1] == 1
    assert sorted(schedule, reverse=True) == schedule
    assert set(schedule) == {1, 2, 3, 4, 5, 6}
    assert mutations_per_child(0, 12) == 1  # a short search changes one thing at a time


@pytest.mark.parametrize("space", [NASREC_SMALL, NASREC_FULL])
@given(seed=st.integers(0, 2**32), mutations=st.integers(1, 6))
@settings(max_examples=60)
def test_mutations_stay_in_the_space_and_are_counted(space: SearchSpace, seed: int, mutations: int) -> None:
    """A mutated architecture is valid and differs in at most that many blocks, one kind of field per mutation."""
    generator = numpy.random.default_rng(seed)
    parent = single_operator_any_connection(space, generator)
    child = parent
    for _ in range(mutations):
        child = mutate(child, space, generator)
    space.check(child)
    changed = [
        (number, frozenset(FIELDS_OF_A_MUTATION[field]))
        for number, (before, after) in enumerate(zip(parent.blocks, child.blocks, strict=True))
        for field in FIELDS_OF_A_MUTATION
        if getattr(before, field) != getattr(after, field)
    ]
    assert len(set(changed)) <= mutations


@pytest.mark.slow
def test_a_mutation_changes_a_connection_half_the_time() -> None:
    """Over 20,000 single mutations each field changes as often as the published scheme says (within 4 sigma)."""
    generator = numpy.random.default_rng(5)
    parent = single_operator_any_connection(NASREC_FULL, generator)
    changes = dict.fromkeys(("dense_width", "sparse_width", "dense_to_sparse", "left", "dense_inputs"), 0)
    trials = 20_000
    for _ in range(trials):
        child = mutate(parent, NASREC_FULL, generator)
        for field in changes:
            changes[field] += any(
                getattr(before, field) != getattr(after, field)
                for before, after in zip(parent.blocks, child.blocks, strict=True)
            )
    other, connection, blocks = 0.5 / 5, 0.5 / 4, 7
    # The chance that a value drawn anew is another one: 1 − 1/options; of `number` outputs, 1 − 1/number.
    other_output = numpy.mean([1 - 1 / number for number in range(1, blocks + 1)])
    expected: dict[str, float] = {
        "dense_width": other * 7 / 8,
        "sparse_width": other * 3 / 4,
        "dense_to_sparse": other / 2,
        "left": connection * float(other_output),
    }
    for field, probability in expected.items():
        assert changes[field] / trials == pytest.approx(probability, abs=4 * (probability / trials) ** 0.5)
    assert 0 < changes["dense_inputs"] < trials * connection


def run_generations(config: EvolutionConfig, scores: numpy.random.Generator) -> RegularizedEvolution:
    """Drive evolution with random scores; check aging on the way."""
    strategy = RegularizedEvolution(config, NASREC_SMALL, SHAPE, numpy.random.default_rng(1))
    index = 0
    while architectures := strategy.ask(100):
        generation = strategy.generation
        candidates = [
            Candidate(index + place, generation, architecture, float(scores.random()), 0, 0)
            for place, architecture in enumerate(architectures)
        ]
        strategy.tell(candidates[::-1])  # ranks finish in any order
        index += len(candidates)
        alive = [member.index for member in strategy.population]
        assert alive == list(range(index))[-config.initial_population :]
    return strategy


def test_the_oldest_leave() -> None:
    """After every generation exactly the youngest `initial_population` candidates are alive, whatever their scores."""
    config = EvolutionConfig(initial_population=10, generations=7, tournament=4, children=3)
    strategy = run_generations(config, numpy.random.default_rng(2))
    assert {member.generation for member in strategy.population} == {4, 5, 6, 7}


def test_children_descend_from_the_best_of_a_full_tournament() -> None:
    """When everyone competes, each child is one mutation away from the best member alive."""
    config = EvolutionConfig(initial_population=12, generations=5, tournament=12, children=4)
    strategy = RegularizedEvolution(config, NASREC_FULL, SHAPE, numpy.random.default_rng(3))
    scores, index = numpy.random.default_rng(4), 0
    while architectures := strategy.ask(100):
        if strategy.population:
            parent = min(strategy.population, key=lambda member: member.score).architecture
            assert all(_blocks_changed(parent, child) == 1 for child in architectures)
        strategy.tell(
            [
                Candidate(index + place, strategy.generation, architecture, float(scores.random()), 0, 0)
                for place, architecture in enumerate(architectures)
            ]
        )
        index += len(architectures)
    assert index == config.candidates


def _blocks_changed(parent: Architecture, child: Architecture) -> int:
    return sum(before != after for before, after in zip(parent.blocks, child.blocks, strict=True))


def test_children_wait_for_the_whole_generation() -> None:
    """While a candidate of the generation is not scored, nothing of the next one is returned."""
    config = EvolutionConfig(initial_population=4, generations=1, tournament=2, children=2)
    strategy = RegularizedEvolution(config, NASREC_SMALL, SHAPE, numpy.random.default_rng(3))
    first = [Candidate(index, 0, architecture, 0.5, 0, 0) for index, architecture in enumerate(strategy.ask(100))]
    strategy.tell(first[:3])
    assert strategy.ask(100) == []
    assert strategy.generation == 0
    strategy.tell(first[3:])
    assert strategy.generation == 1
    assert len(strategy.ask(100)) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"initial_population": 0}, "initial_population is 0"),
        ({"generations": -1}, "generations is -1"),
        ({"tournament": 33}, "tournament is 33; it must be between 1 and initial_population, 32"),
        ({"children": 0}, "children is 0"),
    ],
)
def test_impossible_sizes(fields: dict[str, int], message: str) -> None:
    """Each is a ValueError naming the field, the value and the range."""
    with pytest.raises(ValueError, match=message):
        EvolutionConfig(**fields)  # type: ignore[arg-type]


def test_published_size() -> None:
    """The published search scores 128 + 240 · 8 candidates."""
    assert EvolutionConfig("evolution", 128, 240, 64, 8).candidates == 2048


@given(candidates=st.integers(32, 5000))
def test_settings_for_a_number_of_candidates(candidates: int) -> None:
    """At most so many, and fewer by less than a generation."""
    assert candidates - EvolutionConfig().children < EvolutionConfig.of_size(candidates).candidates <= candidates
