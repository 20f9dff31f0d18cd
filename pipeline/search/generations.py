"""What strategies that work generation by generation share: when one begins and ends, and who wins a tournament."""

from collections.abc import Callable, Iterable, Sequence

import numpy

from modules.space import Architecture, InputShape
from pipeline.run.records.candidates import Candidate, with_scores
from pipeline.search.limits import Limits
from pipeline.search.proposals import Proposals

Draw = Callable[[], Architecture]
"""Draws an architecture, another one each time."""


class Generations:
    """Generations 0 to `last`: each is proposed whole, when all candidates of the one before it have been judged."""

    def __init__(self, limits: Limits, shape: InputShape, last: int) -> None:
        self.number = 0
        """Of the generation that is asked for now."""
        self._proposals = Proposals(limits, shape)
        self._last = last
        self._told: list[Candidate] = []

    def ask(self, n: int, begin: Callable[[], None]) -> list[Architecture]:
        """At most n architectures of this generation; empty when scores are needed first, or the search is over.

        `begin` proposes a generation's architectures.
        """
        if not self._proposals and self.number <= self._last:
            begin()
        return self._proposals.ask(n)

    def propose(self, draws: Iterable[Draw], random: Draw) -> None:
        """Propose one architecture of each draw, or a random one where it gives no new network; none any more when
        there is no new random one either: the space is used up."""
        for draw in draws:
            if not self._proposals.propose(draw) and not self._proposals.propose(random):
                break

    def tell(self, candidates: Sequence[Candidate]) -> list[Candidate] | None:
        """Take what became of candidates. With the last one of a generation: its candidates that have a score, in the
        order asked; those that failed or were refused are not among them. Before that None."""
        self._proposals.settle(candidates)
        self._told += candidates
        if self._proposals or not self._told:
            return None
        scored = sorted(with_scores(tuple(self._told)), key=lambda candidate: candidate.index)
        self._told = []
        self.number += 1
        return scored


def tournament_winner(members: Sequence[Candidate], size: int, generator: numpy.random.Generator) -> Candidate:
    """The best of `size` random members, or of all; the older one where scores tie."""
    drawn = generator.choice(len(members), min(size, len(members)), replace=False)
    return min((members[int(place)] for place in drawn), key=lambda member: (member.log_loss, member.index))
