"""pipeline/search/generations.py: when a generation begins and ends, and who wins a tournament."""

import numpy
import pytest

from modules.space import NASREC_SMALL, Architecture, InputShape, single_operator_any_connection
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import RandomSearchConfig
from pipeline.search.generations import Generations, tournament_winner

SHAPE = InputShape(integers=3, fields=5, embedding_width=4)
GENERATOR = numpy.random.default_rng(0)


def drawn() -> Architecture:
    """A random network."""
    return single_operator_any_connection(NASREC_SMALL, GENERATOR)


def scored(index: int, architecture: Architecture, score: float | None) -> Candidate:
    """A candidate, failed without a score."""
    state, reason = ("failed", "it fails") if score is None else ("scored", "")
    return Candidate(index, 0, architecture, score, 1, 1, state=state, reason=reason)  # type: ignore[arg-type]


def test_a_generation_ends_with_its_last_candidate() -> None:
    """Nothing new is proposed before; then those with a score are given, in the order asked, and the next one begins,
    up to the last."""
    generations, begun = Generations(RandomSearchConfig(), SHAPE, last=1), list[int]()

    def begin() -> None:
        begun.append(generations.number)
        generations.propose([drawn] * 3, drawn)

    first = generations.ask(2, begin)
    assert (len(first), begun) == (2, [0])
    (last,) = generations.ask(5, begin)
    assert generations.ask(5, begin) == []
    assert generations.tell([scored(2, last, 0.5)]) is None
    found = generations.tell([scored(1, first[1], None), scored(0, first[0], 0.6)])
    assert found is not None and [one.index for one in found] == [0, 2]
    assert (len(generations.ask(9, begin)), begun) == (3, [0, 1])


def test_a_draw_without_a_new_network_is_made_up_for_at_random() -> None:
    """The same network drawn twice is proposed once; where even random ones are no longer new, no more are proposed."""
    own, generations = drawn(), Generations(RandomSearchConfig(), SHAPE, last=0)
    asked = generations.ask(9, lambda: generations.propose([lambda: own] * 3, drawn))
    assert len(asked) == 3 and asked.count(own) == 1
    few = Generations(RandomSearchConfig(), SHAPE, last=0)
    assert few.ask(9, lambda: few.propose([lambda: own] * 3, lambda: own)) == [own]


@pytest.mark.parametrize("size", [1, 3, 99])
def test_the_best_of_those_drawn_wins(size: int) -> None:
    """With all drawn the best wins, the older of two that are alike; a tournament of one is a random member."""
    members = [scored(index, drawn(), score) for index, score in enumerate((0.5, 0.4, 0.4, 0.7))]
    winners = [tournament_winner(members, size, GENERATOR).index for _ in range(60)]
    assert set(winners) == {1: {0, 1, 2, 3}, 3: {1, 2}, 99: {1}}[size]
