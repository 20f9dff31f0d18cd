"""pipeline/search/predicted.py: what is judged promises more than what is drawn."""

import numpy

from modules.space import OPEN, Architecture, InputShape, canonical
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import PredictedConfig
from pipeline.search.predicted import PredictedSearch
from pipeline.search.predictor import properties

SHAPE = InputShape(integers=3, fields=5, embedding_width=4)


def planted(architecture: Architecture) -> float:
    """A loss that what a network is made of decides."""
    found = properties(architecture, SHAPE)
    return 0.5 - 0.02 * ("field_product" in found or "cross" in found) + 0.004 * found["depth"]


def later_losses(config: PredictedConfig, seed: int) -> list[float]:
    """Of what is judged after the random start."""
    strategy, candidates = PredictedSearch(config, OPEN, SHAPE, numpy.random.default_rng(seed)), list[Candidate]()
    while asked := strategy.ask(8):
        first = len(candidates)
        told = [Candidate(first + i, strategy.generation, own, planted(own), 1, 1) for i, own in enumerate(asked)]
        strategy.tell(told)
        candidates += told
    assert len({canonical(one.architecture) for one in candidates}) == len(candidates) == config.candidates
    return [one.log_loss for one in candidates if one.generation]


def test_it_judges_better_ones_than_it_draws() -> None:
    """Of 48 drawn for a generation the six that promise most are better in the mean than six of six, with any seed."""
    sizes = {"initial_population": 24, "generations": 4, "children": 6, "tournament": 4}
    for seed in range(3):
        chosen = later_losses(PredictedConfig(**sizes, proposed=48), seed)  # type: ignore[arg-type]
        unchosen = later_losses(PredictedConfig(**sizes, proposed=6), seed)  # type: ignore[arg-type]
        assert numpy.mean(chosen) < numpy.mean(unchosen) - 0.002


def test_random_ones_only_where_asked() -> None:
    """With a random share of 1 every network is drawn from the whole space, and still each comes once."""
    losses = later_losses(PredictedConfig(initial_population=18, generations=2, children=4, random_share=1.0), 0)
    assert len(losses) == 8
