"""What every strategy promises, on synthetic scores."""

import dataclasses
import json

import numpy
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    Architecture,
    SearchSpace,
    canonical,
    single_operator_any_connection,
)
from pipeline.run.records.candidates import Candidate
from pipeline.search.evolution import EvolutionConfig, RegularizedEvolution
from pipeline.search.random_search import RandomSearchConfig
from pipeline.search.strategy import STRATEGIES, SearchConfig, Strategy, build_strategy

SMALL_SEARCHES: dict[str, SearchConfig] = {
    "evolution": EvolutionConfig(initial_population=6, generations=4, tournament=3, children=4),
    "random": RandomSearchConfig(candidates=22),
}
OTHER_SIZES: dict[str, SearchConfig] = {
    "evolution": EvolutionConfig(initial_population=6, generations=4, tournament=3, children=5),
    "random": RandomSearchConfig(candidates=23),
}


def strategy_of(config: SearchConfig, seed: int, space: SearchSpace = NASREC_FULL) -> Strategy:
    """A strategy with a generator of this seed."""
    return build_strategy(config, space, numpy.random.default_rng(seed))


def test_every_strategy_is_tested() -> None:
    """The dict of strategies, each with its own settings, holds exactly those tested here."""
    assert STRATEGIES.keys() == SMALL_SEARCHES.keys()
    for name, config in SMALL_SEARCHES.items():
        assert config.strategy == name and type(config) is STRATEGIES[name].config
        assert STRATEGIES[name].config.of_size(160).candidates == 160


def synthetic_score(architecture: Architecture, target: Architecture) -> float:
    """Mean distance to a hidden target, field by field: smooth enough for mutations to climb."""
    distances = []
    for block, wanted in zip(architecture.blocks, target.blocks, strict=True):
        distances += [
            block.dense_operators != wanted.dense_operators,
            block.sparse_operators != wanted.sparse_operators,
            abs(numpy.log2(block.dense_width / wanted.dense_width)) / 6,
            abs(block.sparse_width - wanted.sparse_width) / 48,
            len(set(block.dense_inputs) ^ set(wanted.dense_inputs)) / 4,
            len(set(block.sparse_inputs) ^ set(wanted.sparse_inputs)) / 4,
            block.dense_to_sparse != wanted.dense_to_sparse,
            block.sparse_to_dense != wanted.sparse_to_dense,
        ]
    return float(numpy.mean(distances))


TARGET = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(99))


def scored(strategy: Strategy, first: int, architectures: list[Architecture]) -> list[Candidate]:
    """Candidates of the synthetic score, numbered from `first`."""
    return [
        Candidate(index, strategy.generation, architecture, synthetic_score(architecture, TARGET), 0, 0)
        for index, architecture in enumerate(architectures, start=first)
    ]


def some_failed(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates, of which all that have 64 or more dense outputs in their first block failed."""
    return [
        dataclasses.replace(candidate, score=None, state="failed")
        if candidate.architecture.blocks[0].dense_width >= 64
        else candidate
        for candidate in candidates
    ]


def run(strategy: Strategy, n: int = 3, done: list[Candidate] | None = None) -> list[Candidate]:
    """Drive the strategy to its end, n architectures at a time, resuming after `done`."""
    candidates = list(done or [])
    while architectures := strategy.ask(n):
        told = scored(strategy, len(candidates), architectures)
        strategy.tell(told)
        candidates += told
    return candidates


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("space", [NASREC_SMALL, NASREC_FULL])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=8)
def test_candidates_are_valid_new_and_as_many_as_configured(name: str, space: SearchSpace, seed: int) -> None:
    """Every architecture lies in the space, no network comes twice, and the budget is spent to the last one."""
    candidates = run(strategy_of(SMALL_SEARCHES[name], seed, space))
    for candidate in candidates:
        space.check(candidate.architecture)
    assert len({canonical(candidate.architecture) for candidate in candidates}) == len(candidates) == 6 + 4 * 4


@pytest.mark.parametrize("name", STRATEGIES)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 30))
@settings(max_examples=15)
@pytest.mark.slow
def test_the_seed_decides_and_the_portion_does_not(name: str, seed: int, n: int) -> None:
    """Equal seeds give equal candidates however many are asked at a time; another seed gives others."""
    candidates = run(strategy_of(SMALL_SEARCHES[name], seed), n)
    assert candidates == run(strategy_of(SMALL_SEARCHES[name], seed), 5)
    assert candidates != run(strategy_of(SMALL_SEARCHES[name], seed + 1), n)


@pytest.mark.parametrize("name", STRATEGIES)
@given(seed=st.integers(0, 2**32), stop=st.integers(0, 21), lost=st.integers(0, 4))
@settings(max_examples=25)
@pytest.mark.slow
def test_resuming_gives_the_same_sequence(name: str, seed: int, stop: int, lost: int) -> None:
    """Saved after any number of candidates, with some asked and never scored, the search continues identically."""
    whole = run(strategy_of(SMALL_SEARCHES[name], seed))
    strategy = strategy_of(SMALL_SEARCHES[name], seed)
    done: list[Candidate] = []
    while len(done) < stop and (architectures := strategy.ask(1)):
        done += scored(strategy, len(done), architectures)
        strategy.tell(done[-1:])
    if lost:
        strategy.ask(lost)
    state = json.loads(json.dumps(strategy.state_dict(), allow_nan=False))
    resumed = strategy_of(SMALL_SEARCHES[name], seed + 7)
    resumed.load_state_dict(state)
    assert run(resumed, 4, done) == whole


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("stop", [3, 6, 13])
def test_the_search_continues_without_candidates_that_failed(name: str, stop: int) -> None:
    """The budget is spent to the last one, resumed from any state or not; in evolution none that failed is alive."""

    def told(strategy: Strategy, done: list[Candidate], until: int = 99) -> list[Candidate]:
        candidates = list(done)
        while len(candidates) < until and (architectures := strategy.ask(1)):
            candidates += some_failed(scored(strategy, len(candidates), architectures))
            strategy.tell(candidates[-1:])
            if isinstance(strategy, RegularizedEvolution):
                assert all(member.state == "scored" for member in strategy.population)
        return candidates

    whole = told(strategy_of(SMALL_SEARCHES[name], 4), [])
    assert len(whole) == 22 and len({candidate.state for candidate in whole}) == 2
    strategy = strategy_of(SMALL_SEARCHES[name], 4)
    done = told(strategy, [], stop)
    resumed = strategy_of(SMALL_SEARCHES[name], 5)
    resumed.load_state_dict(json.loads(json.dumps(strategy.state_dict(), allow_nan=False)))
    assert told(resumed, done) == whole


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_search_where_everything_fails_ends(name: str) -> None:
    """Without a single parent each generation is drawn at random, and as many are scored as configured."""
    strategy, candidates = strategy_of(SMALL_SEARCHES[name], 4), 0
    while architectures := strategy.ask(5):
        failed = scored(strategy, candidates, architectures)
        strategy.tell([dataclasses.replace(one, score=None, state="failed") for one in failed])
        candidates += len(architectures)
    assert candidates == 22


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_state_of_another_search_is_refused(name: str) -> None:
    """Another space, size or strategy: a ValueError saying what differs."""
    state = strategy_of(SMALL_SEARCHES[name], 1).state_dict()
    with pytest.raises(ValueError, match="space is 'nasrec_full', now 'nasrec_small'"):
        strategy_of(SMALL_SEARCHES[name], 1, NASREC_SMALL).load_state_dict(state)
    with pytest.raises(ValueError, match="config"):
        strategy_of(OTHER_SIZES[name], 1).load_state_dict(state)
    with pytest.raises(ValueError, match="config"):
        strategy_of(SMALL_SEARCHES["random" if name == "evolution" else "evolution"], 1).load_state_dict(state)


@pytest.mark.parametrize("name", STRATEGIES)
def test_telling_what_was_not_asked(name: str) -> None:
    """Scores of strangers, or the same score twice, are ValueErrors and change nothing."""
    strategy = strategy_of(SMALL_SEARCHES[name], 1)
    candidates = scored(strategy, 0, strategy.ask(2))
    before = strategy.state_dict()
    with pytest.raises(ValueError, match="scored but not asked"):
        strategy.tell([candidates[0], Candidate(1, 0, TARGET, 0.5, 0, 0)])
    with pytest.raises(ValueError, match="scored twice"):
        strategy.tell([candidates[0], candidates[0]])
    assert strategy.state_dict() == before
    strategy.tell(candidates)
    with pytest.raises(ValueError, match="scored but not asked, or scored twice"):
        strategy.tell(candidates)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.slow
def test_a_used_up_space_ends_the_search(name: str) -> None:
    """In a space of 16 networks each is proposed once, and then nothing more, though the budget is larger."""
    tiny = SearchSpace(
        "tiny",
        NASREC_SMALL.dense_operators[:1],
        NASREC_SMALL.sparse_operators,
        dense_widths=(16, 32),
        sparse_widths=(16, 32),
        num_blocks=1,
    )
    candidates = []
    strategy = strategy_of(STRATEGIES[name].config.of_size(200), 3, tiny)
    while architectures := strategy.ask(50):
        candidates += [Candidate(index, 0, architecture, 0.5, 0, 0) for index, architecture in enumerate(architectures)]
        strategy.tell(candidates[-len(architectures) :])
    assert len({candidate.architecture for candidate in candidates}) == len(candidates) == tiny.size() == 16


@pytest.mark.slow
def test_evolution_beats_random_search() -> None:
    """At an equal budget of 256 candidates evolution's best is better over 16 seeds (Wilcoxon, p < 0.001)."""
    evolution = EvolutionConfig(initial_population=64, generations=24, tournament=32, children=8)
    best = {
        config.strategy: [min(c.score for c in run(strategy_of(config, seed), 8)) for seed in range(16)]
        for config in (evolution, RandomSearchConfig.of_size(evolution.candidates))
    }
    result = scipy.stats.wilcoxon(best["evolution"], best["random"], alternative="less")
    assert result.pvalue < 1e-3
