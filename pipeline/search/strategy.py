"""What a search strategy is: it proposes architectures, hears their scores, and can be put away and taken up again.

A strategy knows nothing of how candidates are scored. The driver's loop is

    while architectures := strategy.ask(n):
        strategy.tell([score(architecture) for architecture in architectures])

and gives the same candidates whatever n, and when resumed from any `state_dict`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy

from modules.space import Architecture, SearchSpace
from pipeline.search.candidate import Candidate
from pipeline.search.config import SearchConfig
from pipeline.search.evolution import RegularizedEvolution
from pipeline.search.random_search import RandomSearch

__all__ = ["Candidate", "RandomSearch", "RegularizedEvolution", "SearchConfig", "Strategy", "build_strategy"]


class Strategy(Protocol):
    """Proposes architectures that lie in the space, each network once (see `modules.space.canonical`)."""

    @property
    def generation(self) -> int:
        """Generation of the architectures that `ask` gives out now."""

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures to score next, n ≥ 1.

        Empty when the search is over, or when what was asked must be told first.
        """

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Hear scores of architectures that were asked, in any order. Raises ValueError for others."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, the generator's state included, as plain JSON values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`: what had been asked and not told is asked again.

        Raises ValueError when the state is of another strategy, configuration or space.
        """


def build_strategy(config: SearchConfig, space: SearchSpace, generator: numpy.random.Generator) -> Strategy:
    """The strategy that `config` names. `generator` (numpy.random.default_rng) is the strategy's own from here on."""
    match config.strategy:
        case "evolution":
            return RegularizedEvolution(config, space, generator)
        case "random":
            return RandomSearch(config, space, generator)
