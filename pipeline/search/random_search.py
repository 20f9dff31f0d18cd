"""Random search: every candidate drawn as the supernet's training paths are. The strategy to beat."""

from collections.abc import Sequence

import numpy

from modules.space import Architecture, InputShape, SearchSpace, single_operator_any_connection
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import RandomSearchConfig
from pipeline.search.proposals import Proposals


class RandomSearch:
    """`config.candidates` random architectures, no network twice.

    `generator` (numpy.random.default_rng) becomes the strategy's own.
    """

    generation = 0

    def __init__(
        self, config: RandomSearchConfig, space: SearchSpace, shape: InputShape, generator: numpy.random.Generator
    ) -> None:
        self._space, self._generator = space, generator
        self._proposals = Proposals(config, shape)
        self._budget = config.candidates

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures to score next; empty when the budget, or a very small space, is used up."""
        handed: list[Architecture] = []
        while len(handed) < n and self._proposals.proposed < self._budget:
            if not self._proposals.propose(lambda: single_operator_any_connection(self._space, self._generator)):
                self._budget = self._proposals.proposed
            handed += self._proposals.ask(n - len(handed))
        return handed

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take scores; they change nothing of what comes next."""
        self._proposals.settle(candidates)
