"""What every strategy promises, on synthetic scores."""

import dataclasses
from collections.abc import Callable

import numpy
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    Architecture,
    InputShape,
    SearchSpace,
    canonical,
    multiply_accumulates,
    parameter_count,
    single_operator_any_connection,
)
from pipeline.run.records.candidates import Candidate
from pipeline.search import proposals
from pipeline.search.config import (
    SEARCH_CONFIGS,
    EvolutionConfig,
    MetropolisConfig,
    NSGA2Config,
    PredictedConfig,
    RandomSearchConfig,
    SearchConfig,
)
from pipeline.search.evolution import RegularizedEvolution
from pipeline.search.nsga2 import NSGA2Search
from pipeline.search.strategy import STRATEGIES, Strategy, build_strategy

SMALL_SEARCHES: dict[str, SearchConfig] = {
    "evolution": EvolutionConfig(initial_population=6, generations=4, tournament=3, children=4),
    "metropolis": MetropolisConfig(initial_population=18, generations=2, judged=3, steps=4, tournament=3),
    "nsga2": NSGA2Config(population=4, generations=5),
    "predicted": PredictedConfig(initial_population=18, generations=2, judged=3, proposed=8, tournament=3),
    "random": RandomSearchConfig(candidates=22),
}
SHAPE = InputShape(integers=3, fields=5, embedding_width=4)


def strategy_of(config: SearchConfig, seed: int, space: SearchSpace = NASREC_FULL) -> Strategy:
    """A strategy with a generator of this seed."""
    return build_strategy(config, space, SHAPE, numpy.random.default_rng(seed))


def test_every_strategy_is_tested() -> None:
    """The dict of strategies, each with its own settings, holds exactly those tested here."""
    assert STRATEGIES.keys() == SEARCH_CONFIGS.keys() == SMALL_SEARCHES.keys()
    for name, config in SMALL_SEARCHES.items():
        assert config.strategy == name and type(config) is SEARCH_CONFIGS[name]
        assert SEARCH_CONFIGS[name].of_size(160).candidates == 160


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


Told = Callable[[Candidate], Candidate]
"""What becomes of a candidate."""


def scored(strategy: Strategy, first: int, architectures: list[Architecture]) -> list[Candidate]:
    """Candidates of the synthetic score and their own costs, numbered from `first`."""
    return [
        Candidate(
            index,
            strategy.generation,
            architecture,
            synthetic_score(architecture, TARGET) if len(architecture.blocks) == len(TARGET.blocks) else 1.0,
            multiply_accumulates(architecture, SHAPE),
            parameter_count(architecture, SHAPE),
        )
        for index, architecture in enumerate(architectures, start=first)
    ]


def some_failed(candidate: Candidate) -> Candidate:
    """The candidate, which failed or was refused if it has 64 or more dense outputs in its first block."""
    width = candidate.architecture.blocks[0].dense_width
    if width < 64:
        return candidate
    return dataclasses.replace(candidate, score=None, state="failed" if width == 64 else "refused", reason="too wide")


def all_failed(candidate: Candidate) -> Candidate:
    """The candidate, as one that failed."""
    return dataclasses.replace(candidate, score=None, state="failed", reason="everything fails")


def run(strategy: Strategy, n: int = 3, done: list[Candidate] | None = None, become: Told = lambda one: one) -> list:
    """Drive the strategy to its end, n architectures at a time; `done` is told again instead of being judged."""
    candidates: list[Candidate] = []
    while architectures := strategy.ask(n):
        told = [become(one) for one in scored(strategy, len(candidates), architectures)]
        known = (done or [])[len(candidates) : len(candidates) + len(architectures)]
        assert [one.architecture for one in known] == architectures[: len(known)]
        strategy.tell([*known, *told[len(known) :]])
        candidates += told
        if isinstance(strategy, RegularizedEvolution | NSGA2Search):
            assert all(member.state == "scored" for member in strategy.population)
    return candidates


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("space", [NASREC_SMALL, NASREC_FULL, OPEN], ids=lambda space: space.name)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=4, deadline=None)
def test_candidates_are_valid_new_and_as_many_as_configured(name: str, space: SearchSpace, seed: int) -> None:
    """Every architecture lies in the space, no network comes twice, and the budget is spent to the last one."""
    config = SMALL_SEARCHES[name]
    candidates = run(strategy_of(config, seed, space))
    for candidate in candidates:
        space.check(candidate.architecture)
    assert len({canonical(candidate.architecture) for candidate in candidates}) == len(candidates) == config.candidates


@pytest.mark.parametrize("name", STRATEGIES)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 30), order=st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_neither_portions_nor_order_decide(name: str, seed: int, n: int, order: object) -> None:
    """Equal seeds give equal candidates however many are asked at a time, told in whatever order and portions;
    another seed gives others."""
    candidates = run(strategy_of(SMALL_SEARCHES[name], seed))
    strategy, found = strategy_of(SMALL_SEARCHES[name], seed), list[Candidate]()
    waiting: list[Candidate] = []
    while True:
        asked = scored(strategy, len(found), strategy.ask(n))
        found, waiting = found + asked, waiting + asked
        if not waiting:
            break
        order.shuffle(waiting)  # type: ignore[attr-defined]
        told = max(1, len(waiting) // 2)
        strategy.tell(waiting[:told])
        waiting = waiting[told:]
    assert found == candidates
    assert candidates != run(strategy_of(SMALL_SEARCHES[name], seed + 1))


@pytest.mark.parametrize("name", STRATEGIES)
@given(seed=st.integers(0, 2**32), stop=st.integers(0, 24), n=st.integers(1, 9), failing=st.booleans())
@settings(max_examples=6, deadline=None)
def test_told_again_it_continues_the_same(name: str, seed: int, stop: int, n: int, failing: bool) -> None:
    """A new strategy that is told what became of the first candidates of a search goes on as that search did, also
    where candidates failed or were refused: those are no parents, and the budget is spent to the last one."""

    def become(candidate: Candidate) -> Candidate:
        return some_failed(candidate) if failing else candidate

    config = SMALL_SEARCHES[name]
    whole = run(strategy_of(config, seed), become=become)
    assert len(whole) == config.candidates
    assert run(strategy_of(config, seed), n, whole[:stop], become) == whole


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_search_where_everything_fails_ends(name: str) -> None:
    """Without a single parent each generation is drawn at random, and as many are judged as configured."""
    assert len(run(strategy_of(SMALL_SEARCHES[name], 4), 5, become=all_failed)) == SMALL_SEARCHES[name].candidates


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_is_proposed_is_within_the_limits(name: str) -> None:
    """Where the limits are what the cheaper half of a search's candidates has, not one candidate has more, and the
    budget is spent on those that are within."""
    free, config = run(strategy_of(SMALL_SEARCHES[name], 2)), SMALL_SEARCHES[name]
    products = sorted(candidate.multiply_accumulates for candidate in free)[len(free) // 2]
    parameters = sorted(candidate.parameters for candidate in free)[len(free) // 2]
    found = run(strategy_of(dataclasses.replace(config, max_mflops=products / 1e6, max_params=parameters), 2))
    assert len(found) == config.candidates
    assert all(one.multiply_accumulates <= products and one.parameters <= parameters for one in found)


@pytest.mark.parametrize("name", STRATEGIES)
def test_limits_that_leave_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ValueError that names the limits and what the cheapest of the architectures drawn costs."""
    monkeypatch.setattr(proposals, "_ATTEMPTS", 20)
    config = dataclasses.replace(SMALL_SEARCHES[name], max_mflops=1e-6, max_params=3)
    message = r"none of 20 random architectures is within search\.max_mflops 1e-06 and search\.max_params 3: the least"
    with pytest.raises(ValueError, match=message):
        strategy_of(config, 1).ask(1)


@pytest.mark.parametrize("name", STRATEGIES)
def test_telling_what_was_not_asked(name: str) -> None:
    """Scores of strangers, or the same score twice, are ValueErrors and change nothing."""
    strategy = strategy_of(SMALL_SEARCHES[name], 1)
    candidates = scored(strategy, 0, strategy.ask(2))
    with pytest.raises(ValueError, match="scored but not asked"):
        strategy.tell([candidates[0], Candidate(1, 0, TARGET, 0.5, 0, 0)])
    with pytest.raises(ValueError, match="scored twice"):
        strategy.tell([candidates[0], candidates[0]])
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
    strategy = strategy_of(SEARCH_CONFIGS[name].of_size(200), 3, tiny)
    while architectures := strategy.ask(50):
        candidates += [Candidate(index, 0, architecture, 0.5, 0, 0) for index, architecture in enumerate(architectures)]
        strategy.tell(candidates[-len(architectures) :])
    assert len({candidate.architecture for candidate in candidates}) == len(candidates) == tiny.size() == 16


SEEDS = range(12)
"""Of the searches that are compared, of 128 candidates each."""


@pytest.fixture(scope="module")
def random_searches() -> list[list[Candidate]]:
    """What random search finds with each seed."""
    return [run(strategy_of(RandomSearchConfig(candidates=128), seed), 8) for seed in SEEDS]


@pytest.mark.parametrize(
    "config",
    [
        EvolutionConfig(initial_population=32, generations=12, tournament=16, children=8),
        NSGA2Config(population=16, generations=7, objectives=("log_loss",)),
    ],
    ids=lambda config: config.strategy,
)
@pytest.mark.slow
def test_it_beats_random_search(config: SearchConfig, random_searches: list[list[Candidate]]) -> None:
    """At an equal number of candidates its best is better than random search's over 12 seeds (Wilcoxon's signed ranks,
    p < 0.01)."""
    found = [run(strategy_of(config, seed), 8) for seed in SEEDS]
    best, random = ([min(one.log_loss for one in each) for each in searches] for searches in (found, random_searches))
    assert all(len(each) == 128 for each in found)
    assert scipy.stats.wilcoxon(best, random, alternative="less").pvalue < 0.01


@pytest.mark.slow
def test_nsga2_covers_more_than_random_search(random_searches: list[list[Candidate]]) -> None:
    """With two objectives, the planted score and millions of multiply-accumulates, the area that its candidates
    dominate is larger than that of as many random ones, over 12 seeds (Wilcoxon, p < 0.01)."""

    def area(candidates: list[Candidate]) -> float:
        """Dominated, below (0.6, 10)."""
        total, highest = 0.0, 10.0
        for score, costs in sorted((one.log_loss, one.multiply_accumulates / 1e6) for one in candidates):
            if costs < highest and score < 0.6:
                total += (0.6 - score) * (highest - costs)
                highest = costs
        return total

    found = [run(strategy_of(NSGA2Config(population=16, generations=7), seed), 8) for seed in SEEDS]
    covered, random = (list(map(area, searches)) for searches in (found, random_searches))
    assert scipy.stats.wilcoxon(covered, random, alternative="greater").pvalue < 0.01
