"""Regularized (aging) evolution (Real et al., arXiv:1802.01548) with NASRec's sizes and mutations.

It starts with random architectures; then in each generation the best of a tournament has children, and the oldest
members are removed.
"""

from collections.abc import Sequence

import numpy

from modules.space import Architecture, InputShape, SearchSpace, mutate, single_operator_any_connection
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import EvolutionConfig
from pipeline.search.generations import Draw, Generations, tournament_winner


class RegularizedEvolution:
    """The children of a generation are drawn together, when all candidates of the last generation are scored.

    `generator` (numpy.random.default_rng) becomes the strategy's own.
    """

    def __init__(
        self, config: EvolutionConfig, space: SearchSpace, shape: InputShape, generator: numpy.random.Generator
    ) -> None:
        self._config, self._space, self._generator = config, space, generator
        self._generations = Generations(config, shape, config.generations)
        self._population: list[Candidate] = []

    @property
    def generation(self) -> int:
        """Generation of the architectures that `ask` returns now; 0 is the random start."""
        return self._generations.number

    @property
    def population(self) -> tuple[Candidate, ...]:
        """The members alive, oldest first."""
        return tuple(self._population)

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures of this generation; empty when scores are needed first, or the search is over."""
        return self._generations.ask(n, self._begin_generation)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take scores; with the last one of a generation its members join and the oldest are removed.

        Candidates that failed or were refused do not join: they are no parents, and push nobody out.
        """
        young = self._generations.tell(candidates) or []
        self._population = [*self._population, *young][-self._config.initial_population :]

    def _begin_generation(self) -> None:
        """Propose the random start, or a parent's children. Without a parent, or a new mutation of it, random ones."""

        def random() -> Architecture:
            return single_operator_any_connection(self._space, self._generator)

        count = self._config.children if self._generations.number else self._config.initial_population
        draw: Draw = random
        if self._population:
            parent = tournament_winner(self._population, self._config.tournament, self._generator)
            draw = self._mutation_of(parent.architecture)
        self._generations.propose([draw] * count, random)

    def _mutation_of(self, parent: Architecture) -> Draw:
        mutations = mutations_per_child(self._generations.number - 1, self._config.generations)

        def draw() -> Architecture:
            child = parent
            for _ in range(mutations):
                child = mutate(child, self._space, self._generator)
            return child

        return draw


def mutations_per_child(generation: int, generations: int) -> int:
    """(G − g) // max(20, G // 5) + 1 for generation g = 0 … G − 1 of G = `generations`.

    >>> [mutations_per_child(g, 240) for g in (0, 1, 48, 49, 239)]
    [6, 5, 5, 4, 1]
    """
    return (generations - generation) // max(20, generations // 5) + 1
