"""Random search: every candidate drawn as the supernet's training paths are. The strategy to beat."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy

from modules.space import Architecture, SearchSpace, single_operator_any_connection
from pipeline.search.candidate import Candidate
from pipeline.search.config import SearchConfig
from pipeline.search.proposals import Proposals, check_state, generator_state


class RandomSearch:
    """As many random architectures as evolution would score (`config.candidates`), no network twice.

    `generator` (numpy.random.default_rng) is the strategy's own from here on.
    """

    generation = 0

    def __init__(self, config: SearchConfig, space: SearchSpace, generator: numpy.random.Generator) -> None:
        self._config, self._space, self._generator = config, space, generator
        self._proposals = Proposals()
        self._budget = config.candidates

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures to score next; empty when the budget, or a very small space, is used up."""
        handed = self._proposals.ask(n)  # first those that a resumed search asks again
        while len(handed) < n and self._proposals.proposed < self._budget:
            if not self._proposals.propose(lambda: single_operator_any_connection(self._space, self._generator)):
                self._budget = self._proposals.proposed
            handed += self._proposals.ask(n - len(handed))
        return handed

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Hear scores; they change nothing of what comes next."""
        self._proposals.settle(candidates)

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, as plain JSON values."""
        return {
            **self._identity(),
            "budget": self._budget,
            "proposals": self._proposals.state_dict(),
            "generator": generator_state(self._generator),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`; ValueError when it is of another search."""
        check_state(state, self._identity())
        self._budget = state["budget"]
        self._proposals.load_state_dict(state["proposals"])
        self._generator.bit_generator.state = state["generator"]

    def _identity(self) -> dict[str, Any]:
        return {"config": dataclasses.asdict(self._config), "space": self._space.name}
