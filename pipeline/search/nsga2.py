"""NSGA-II (Deb et al. 2002) by pymoo: candidates that no other one beats in all objectives, spread along that front.

It starts with random architectures. A generation's children have two parents each, winners of binary tournaments, and
are their crossing or union, mutated. Of parents and children together the best fronts survive.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from modules.space import Architecture, InputShape, SearchSpace, mutate, single_operator_any_connection
from modules.space.union import crossover, unite
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import NSGA2Config
from pipeline.search.generations import Draw, Generations

UNION = 0.1
"""Probability that two parents stand side by side in their child, where the space holds that; unions are large."""
CROSSING = 0.9
"""Probability that a child that is no union has blocks of both parents; else it is the first parent's mutation."""


class NSGA2Search:
    """The children of a generation are drawn together, when all candidates of the last generation are judged.

    `generator` (numpy.random.default_rng) becomes the strategy's own; pymoo draws from it as well.
    """

    def __init__(
        self, config: NSGA2Config, space: SearchSpace, shape: InputShape, generator: numpy.random.Generator
    ) -> None:
        self._config, self._space, self._generator = config, space, generator
        self._generations = Generations(config, shape, config.generations)
        self._alive: list[Candidate] = []
        self._ranked = Population.empty()  # the same, with rank and crowding distance
        self._problem = Problem(n_var=0, n_obj=len(config.objectives))

    @property
    def generation(self) -> int:
        """Generation of the architectures that `ask` returns now; 0 is the random start."""
        return self._generations.number

    @property
    def population(self) -> tuple[Candidate, ...]:
        """The members alive."""
        return tuple(self._alive)

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures of this generation; empty when scores are needed first, or the search is over."""
        return self._generations.ask(n, self._begin_generation)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take what became of candidates; with the last one of a generation the survivors are chosen.

        Candidates that failed or were refused are not among them.
        """
        young = self._generations.tell(candidates)
        if young is not None:
            self._survive([*self._alive, *young])

    def _survive(self, candidates: list[Candidate]) -> None:
        if not candidates:
            return
        values = [[candidate.value(name) for name in self._config.objectives] for candidate in candidates]
        merged = Population.new(F=numpy.array(values))  # [candidates, objectives]
        kept = RankAndCrowding().do(
            self._problem,
            merged,
            n_survive=self._config.population,
            random_state=self._generator,
            return_indices=True,
        )
        self._alive, self._ranked = [candidates[place] for place in kept], merged[kept]

    def _begin_generation(self) -> None:
        """Propose the random start, or children. Without parents, or a new child of them, random ones."""

        def random() -> Architecture:
            return single_operator_any_connection(self._space, self._generator)

        draw: Draw = self._child if self._alive else random
        self._generations.propose([draw] * self._config.population, random)

    def _child(self) -> Architecture:
        """A crossing, a union or neither of two tournaments' winners, mutated."""
        first, second = self._parents()
        united = unite(first, second, self._space) if self._generator.random() < UNION else None
        if united is not None:
            return mutate(united, self._space, self._generator)
        if self._generator.random() < CROSSING:
            first = crossover(second, first, self._space, self._generator)
        return mutate(first, self._space, self._generator)

    def _parents(self) -> tuple[Architecture, Architecture]:
        algorithm = SimpleNamespace(tournament_type="comp_by_dom_and_crowding", random_state=self._generator)
        selection = TournamentSelection(func_comp=binary_tournament)
        ((first, second),) = selection.do(
            self._problem,
            self._ranked,
            n_select=1,
            n_parents=2,
            to_pop=False,
            random_state=self._generator,
            algorithm=algorithm,
        )
        return self._alive[first].architecture, self._alive[second].architecture
