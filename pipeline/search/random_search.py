"""Random search: every candidate drawn as the supernet's training paths are. The strategy to beat."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy

from modules.space import Architecture, SearchSpace, single_operator_any_connection
from pipeline.run.records.candidates import Candidate
from pipeline.search.proposals import Proposals, check_state, generator_state


@dataclass(frozen=True)
class RandomSearchConfig:
    """How many candidates random search scores."""

    strategy: Literal["random"] = "random"
    """How candidates are chosen: evolution (`--search.strategy evolution --help` lists its settings), or random."""
    candidates: int = 128
    """Architectures scored in all, at least 1; where the command line chooses random search for a run that has
    another strategy, as many as that strategy would score."""

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ValueError(f"search.candidates is {self.candidates}; it must be at least 1")

    @classmethod
    def of_size(cls, candidates: int) -> "RandomSearchConfig":
        """Settings for so many candidates."""
        return cls(candidates=candidates)


class RandomSearch:
    """`config.candidates` random architectures, no network twice.

    `generator` (numpy.random.default_rng) becomes the strategy's own.
    """

    generation = 0

    def __init__(self, config: RandomSearchConfig, space: SearchSpace, generator: numpy.random.Generator) -> None:
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
        """Take scores; they change nothing of what comes next."""
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
        """Resume from a `state_dict`; ValueError when it is of another search."""
        check_state(state, self._identity())
        self._budget = state["budget"]
        self._proposals.load_state_dict(state["proposals"], self._space)
        self._generator.bit_generator.state = state["generator"]

    def _identity(self) -> dict[str, Any]:
        return {"config": dataclasses.asdict(self._config), "space": self._space.name}
