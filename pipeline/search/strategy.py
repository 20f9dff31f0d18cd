"""Search strategies by name, and what every strategy does: propose architectures and take what became of them.

A strategy knows nothing of how candidates are scored. The driver's loop is

    while architectures := strategy.ask(n):
        strategy.tell([score(architecture) for architecture in architectures])

and gives the same candidates whatever n, and in whatever order they are told. So the candidates are all there is to a
search's state: told again to a new strategy, they bring it to where the one that was stopped was. What a strategy wants
to know of a candidate it asks by name (`Candidate.value`). A strategy is one file, with its class, and its settings in
config.py, with the limits that all have. To add one, write both and add them to `STRATEGIES` and `SearchConfig`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy

from modules.space import Architecture, InputShape, SearchSpace
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import SearchConfig
from pipeline.search.evolution import RegularizedEvolution
from pipeline.search.metropolis import MetropolisEvolution
from pipeline.search.nsga2 import NSGA2Search
from pipeline.search.predicted import PredictedSearch
from pipeline.search.random_search import RandomSearch


class Strategy(Protocol):
    """Proposes architectures that lie in the space and within the counted limits, each network once (see
    `modules.space.canonical`)."""

    @property
    def generation(self) -> int:
        """Generation of the architectures that `ask` returns now."""

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures to score next, n ≥ 1.

        Empty when the search is over, or when the scores of what was asked are needed first. Raises ValueError when the
        limits leave nothing to begin with.
        """

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take what became of architectures that were asked, in any order. Raises ValueError for others.

        A candidate that failed or was refused has no score; the search continues without it.
        """


STRATEGIES: dict[str, Callable[[Any, SearchSpace, InputShape, numpy.random.Generator], Strategy]] = {
    "evolution": RegularizedEvolution,
    "metropolis": MetropolisEvolution,
    "nsga2": NSGA2Search,
    "predicted": PredictedSearch,
    "random": RandomSearch,
}
"""(settings, space, shape, generator) -> the strategy, by the name that `--search.strategy` gives; the generator
(numpy.random.default_rng) becomes its own."""


def build_strategy(
    config: SearchConfig, space: SearchSpace, shape: InputShape, generator: numpy.random.Generator
) -> Strategy:
    """The strategy that the settings belong to. `generator` (numpy.random.default_rng) becomes its own."""
    return STRATEGIES[config.strategy](config, space, shape, generator)
