"""pipeline/search/predicted.py: what is judged promises more than what is drawn; learned searches beat random ones."""

from collections.abc import Callable

import numpy
import pytest
import scipy.stats

from modules.space import OPEN, Architecture, InputShape, canonical
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import MetropolisConfig, PredictedConfig, RandomSearchConfig, SearchConfig
from pipeline.search.predictor import properties
from pipeline.search.strategy import build_strategy

SHAPE = InputShape(integers=3, fields=5, embedding_width=4)


def planted(architecture: Architecture) -> float:
    """A loss that what a network is made of decides: many kinds of operators are good, and so is not being deep."""
    found = properties(architecture, SHAPE)
    kinds = sum(f"{name} size" in found for name in found)
    return 0.55 - 0.006 * kinds + 0.004 * found["depth"] + abs(found["parameters"] - 13) / 200


def searched(config: SearchConfig, seed: int) -> list[Candidate]:
    """All that a search judges."""
    strategy, candidates = build_strategy(config, OPEN, SHAPE, numpy.random.default_rng(seed)), list[Candidate]()
    while asked := strategy.ask(8):
        first = len(candidates)
        told = [Candidate(first + i, strategy.generation, own, planted(own), 1, 1) for i, own in enumerate(asked)]
        strategy.tell(told)
        candidates += told
    assert len({canonical(one.architecture) for one in candidates}) == len(candidates) == config.candidates
    return candidates


def later_losses(config: PredictedConfig, seed: int) -> list[float]:
    """Of what is judged after the random start."""
    return [one.log_loss for one in searched(config, seed) if one.generation]


@pytest.mark.slow
@pytest.mark.parametrize(
    "of_size",
    [
        lambda: PredictedConfig(initial_population=20, generations=5, judged=6, tournament=5),
        lambda: MetropolisConfig(initial_population=20, generations=5, judged=6, steps=5, tournament=5),
    ],
    ids=["predicted", "metropolis"],
)
def test_it_beats_random_search(of_size: Callable[[], SearchConfig]) -> None:
    """At an equal number of candidates its best is better than random search's over six seeds (Wilcoxon's signed
    ranks, p < .05)."""
    config, seeds = of_size(), range(6)
    best = [min(one.log_loss for one in searched(config, seed)) for seed in seeds]
    random = RandomSearchConfig(candidates=config.candidates)
    chance = [min(one.log_loss for one in searched(random, seed)) for seed in seeds]
    assert scipy.stats.wilcoxon(best, chance, alternative="less").pvalue < 0.05


def test_it_judges_better_ones_than_it_draws() -> None:
    """Of 48 drawn for a generation the six that promise most are better in the mean than six of six, with any seed."""
    sizes = {"initial_population": 24, "generations": 4, "judged": 6, "tournament": 4}
    for seed in range(3):
        chosen = later_losses(PredictedConfig(**sizes, proposed=48), seed)  # type: ignore[arg-type]
        unchosen = later_losses(PredictedConfig(**sizes, proposed=6), seed)  # type: ignore[arg-type]
        assert numpy.mean(chosen) < numpy.mean(unchosen) - 0.002


def test_random_ones_only_where_asked() -> None:
    """With a random share of 1 every network is drawn from the whole space, and still each comes once."""
    losses = later_losses(PredictedConfig(initial_population=18, generations=2, judged=4, random_share=1.0), 0)
    assert len(losses) == 8
