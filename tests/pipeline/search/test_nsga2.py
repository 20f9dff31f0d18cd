"""NSGA-II: who survives, whose children come next, and its settings."""

import numpy
import pytest

from modules.space import NASREC_FULL, OPEN, InputShape, SearchSpace
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import NSGA2Config
from pipeline.search.nsga2 import NSGA2Search

SHAPE = InputShape(integers=3, fields=5, embedding_width=4)


def dominates(one: Candidate, other: Candidate) -> bool:
    """Whether one is no worse in both objectives and better in one."""
    own, theirs = (one.log_loss, one.multiply_accumulates), (other.log_loss, other.multiply_accumulates)
    return all(a <= b for a, b in zip(own, theirs, strict=True)) and own != theirs


@pytest.mark.parametrize("space", [NASREC_FULL, OPEN], ids=lambda space: space.name)
def test_the_best_fronts_survive(space: SearchSpace) -> None:
    """After each generation no survivor is dominated by one that has to go, as many are alive as configured, and the
    best of each objective are among them (by brute force over all that were alive or young)."""
    config = NSGA2Config(population=8, generations=4)
    strategy = NSGA2Search(config, space, SHAPE, numpy.random.default_rng(1))
    values, count = numpy.random.default_rng(2), 0
    while architectures := strategy.ask(100):
        before, generation = strategy.population, strategy.generation
        young = [
            Candidate(count + place, generation, one, float(values.random()), int(values.integers(1, 1000)), 0)
            for place, one in enumerate(architectures)
        ]
        count += len(young)
        strategy.tell(young)
        alive, everybody = strategy.population, [*before, *young]
        gone = [one for one in everybody if one not in alive]
        assert len(alive) == 8 and len(gone) == len(everybody) - 8
        assert not any(dominates(one, survivor) for one in gone for survivor in alive)
        assert min(everybody, key=lambda one: (one.log_loss, one.multiply_accumulates)) in alive
        assert min(everybody, key=lambda one: (one.multiply_accumulates, one.log_loss)) in alive
    assert count == config.candidates


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"population": 1}, r"search\.population is 1; it must be at least 2"),
        ({"generations": -1}, r"search\.generations is -1"),
        ({"objectives": ()}, r"search\.objectives is \(\); it must be some of"),
        ({"objectives": ("log_loss", "log_loss")}, "none twice"),
        ({"objectives": ("beauty",)}, r"\('beauty',\); it must be some of \('log_loss',"),
        ({"max_params": -1}, r"search\.max_params is -1"),
    ],
)
def test_impossible_settings(fields: dict[str, object], message: str) -> None:
    """Each is a ValueError naming the field, the value and what it may be."""
    with pytest.raises(ValueError, match=message):
        NSGA2Config(**fields)  # type: ignore[arg-type]


def test_latency_as_an_objective_is_measured() -> None:
    """It is measured where it is an objective or limited, and only there."""
    assert NSGA2Config(objectives=("log_loss", "latency_us")).measures_latency
    assert NSGA2Config(max_latency_us=3.0).measures_latency and not NSGA2Config().measures_latency
