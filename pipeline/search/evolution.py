"""Regularized (aging) evolution (Real et al., arXiv:1802.01548) with NASRec's sizes and mutations.

It starts with random architectures; then in each generation the best of a tournament has children, and the oldest
members are removed.
"""

from collections.abc import Callable, Sequence

import numpy

from modules.space import Architecture, InputShape, SearchSpace, mutate, single_operator_any_connection
from pipeline.run.records.candidates import Candidate, with_scores
from pipeline.search.config import EvolutionConfig
from pipeline.search.proposals import Proposals


class RegularizedEvolution:
    """The children of a generation are drawn together, when all candidates of the last generation are scored.

    `generator` (numpy.random.default_rng) becomes the strategy's own.
    """

    def __init__(
        self, config: EvolutionConfig, space: SearchSpace, shape: InputShape, generator: numpy.random.Generator
    ) -> None:
        self._config, self._space, self._generator = config, space, generator
        self._proposals = Proposals(config, shape)
        self._generation = 0
        self._scored: list[Candidate] = []
        self._population: list[Candidate] = []

    @property
    def generation(self) -> int:
        """Generation of the architectures that `ask` returns now; 0 is the random start."""
        return self._generation

    @property
    def population(self) -> tuple[Candidate, ...]:
        """The members alive, oldest first."""
        return tuple(self._population)

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures of this generation; empty when scores are needed first, or the search is over."""
        if not self._proposals and self._generation <= self._config.generations:
            self._begin_generation()
        return self._proposals.ask(n)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take scores; with the last one of a generation its members join and the oldest are removed.

        Candidates that failed or were refused do not join: they are no parents, and push nobody out.
        """
        self._proposals.settle(candidates)
        self._scored += candidates
        if not self._proposals and self._scored:
            self._population += sorted(with_scores(tuple(self._scored)), key=lambda candidate: candidate.index)
            self._population = self._population[-self._config.initial_population :]
            self._scored = []
            self._generation += 1

    def _begin_generation(self) -> None:
        """Propose the random start, or a parent's children. Without a parent, or a new mutation of it, random ones."""

        def random() -> Architecture:
            return single_operator_any_connection(self._space, self._generator)

        count, draw = self._config.initial_population if self._generation == 0 else self._config.children, random
        if self._population:
            draw = self._mutation_of(self._tournament_winner().architecture)
        for _ in range(count):
            if not self._proposals.propose(draw) and not self._proposals.propose(random):
                break  # the space is used up

    def _mutation_of(self, parent: Architecture) -> Callable[[], Architecture]:
        mutations = mutations_per_child(self._generation - 1, self._config.generations)

        def draw() -> Architecture:
            child = parent
            for _ in range(mutations):
                child = mutate(child, self._space, self._generator)
            return child

        return draw

    def _tournament_winner(self) -> Candidate:
        """The best of a random part of the population; the older one where scores tie."""
        size = min(self._config.tournament, len(self._population))
        drawn = self._generator.choice(len(self._population), size, replace=False)
        members = [self._population[int(place)] for place in drawn]
        return min(members, key=lambda member: (member.log_loss, member.index))


def mutations_per_child(generation: int, generations: int) -> int:
    """(G − g) // max(20, G // 5) + 1 for generation g = 0 … G − 1 of G = `generations`.

    >>> [mutations_per_child(g, 240) for g in (0, 1, 48, 49, 239)]
    [6, 5, 5, 4, 1]
    """
    return (generations - generation) // max(20, generations // 5) + 1
