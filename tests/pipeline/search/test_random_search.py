"""Random search: its budget and its independence of the scores."""

import numpy
import pytest

from modules.space import NASREC_SMALL, Architecture, InputShape, single_operator_any_connection
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import RandomSearchConfig
from pipeline.search.random_search import RandomSearch


def drawn(score: float) -> list[Architecture]:
    """All that a search of 20 proposes when each candidate has this score."""
    config, generator = RandomSearchConfig(candidates=20), numpy.random.default_rng(3)
    strategy = RandomSearch(config, NASREC_SMALL, InputShape(2, 3, 4), generator)
    found: list[Architecture] = []
    while architectures := strategy.ask(7):
        strategy.tell([Candidate(len(found) + place, 0, one, score, 0, 0) for place, one in enumerate(architectures)])
        found += architectures
    return found


def test_candidates_are_the_samplers_draws() -> None:
    """They are what the supernet's path sampler draws from the same generator, and scores change nothing."""
    generator = numpy.random.default_rng(3)
    expected = [single_operator_any_connection(NASREC_SMALL, generator) for _ in range(20)]
    assert drawn(0.5) == drawn(0.1) == expected


def test_impossible_budget() -> None:
    """A ValueError naming the field and the value."""
    with pytest.raises(ValueError, match=r"search\.candidates is 0"):
        RandomSearchConfig(candidates=0)
    assert RandomSearchConfig.of_size(77).candidates == 77
