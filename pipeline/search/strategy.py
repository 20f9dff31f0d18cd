"""Search strategies by name, and what every strategy does: propose architectures, take their scores, save its state.

A strategy knows nothing of how candidates are scored. The driver's loop is

    while architectures := strategy.ask(n):
        strategy.tell([score(architecture) for architecture in architectures])

and gives the same candidates whatever n, and when resumed from any `state_dict`. A strategy is one file: its
configuration dataclass and its class. To add one, write the file and add it to `STRATEGIES` and `SearchConfig`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy

from modules.space import Architecture, SearchSpace
from pipeline.run.records.candidates import Candidate
from pipeline.search.evolution import EvolutionConfig, RegularizedEvolution
from pipeline.search.random_search import RandomSearch, RandomSearchConfig

SearchConfig = EvolutionConfig | RandomSearchConfig
"""Any strategy's settings. Each has `strategy`, its name; `candidates`, how many are scored; and `of_size`."""


class Strategy(Protocol):
    """Proposes architectures that lie in the space, each network once (see `modules.space.canonical`)."""

    @property
    def generation(self) -> int:
        """Generation of the architectures that `ask` returns now."""

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures to score next, n ≥ 1.

        Empty when the search is over, or when the scores of what was asked are needed first.
        """

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take the scores of architectures that were asked, in any order. Raises ValueError for others.

        A candidate that failed has no score; the search continues without it.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, the generator's state included, as plain JSON values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a `state_dict`: architectures that were asked and not scored are returned by `ask` again.

        Raises ValueError when the state is of another strategy, configuration or space.
        """


@dataclass(frozen=True)
class StrategyKind:
    """A strategy that can be chosen."""

    config: type[SearchConfig]
    """Its settings."""
    build: Callable[[Any, SearchSpace, numpy.random.Generator], Strategy]
    """(settings, space, generator) -> the strategy; the generator (numpy.random.default_rng) becomes its own."""


STRATEGIES: dict[str, StrategyKind] = {
    "evolution": StrategyKind(EvolutionConfig, RegularizedEvolution),
    "random": StrategyKind(RandomSearchConfig, RandomSearch),
}
"""Strategies by the name that `--search.strategy` gives."""


def build_strategy(config: SearchConfig, space: SearchSpace, generator: numpy.random.Generator) -> Strategy:
    """The strategy that the settings belong to. `generator` (numpy.random.default_rng) becomes its own."""
    return STRATEGIES[config.strategy].build(config, space, generator)
