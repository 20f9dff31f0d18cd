"""Search by a predictor: of many networks drawn, those are judged that promise most by all that were judged before.

After PIDS (arXiv:2211.15759), with the race's predictor (predictor.py): each network that is taken is the choice of
trees fitted with a seed of their own, so that choices differ where little is known, which is all the exploration there
is beside the share that is drawn at random from the whole space.
"""

import functools
from collections.abc import Sequence

import numpy

from modules.space import Architecture, InputShape, SearchSpace, canonical, mutate, single_operator_any_connection
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import PredictedConfig
from pipeline.search.generations import Draw, Generations, tournament_winner
from pipeline.search.predictor import promising

MUTATIONS = (1, 1, 2, 3)
"""Mutations of a network drawn near a parent, one of these numbers as likely as another."""
ATTEMPTS = 10
"""Draws for each one that is wanted, after which fewer are drawn."""


class PredictedSearch:
    """A generation is drawn and chosen from when all candidates of the last one are scored.

    `generator` (numpy.random.default_rng) becomes the strategy's own.
    """

    def __init__(
        self, config: PredictedConfig, space: SearchSpace, shape: InputShape, generator: numpy.random.Generator
    ) -> None:
        self._config, self._space, self._shape, self._generator = config, space, shape, generator
        self._generations = Generations(config, shape, config.generations)
        self._known: list[Candidate] = []  # those with a score, in the order asked
        self._judged: set[Architecture] = set()  # as canonical networks

    @property
    def generation(self) -> int:
        """Generation of the architectures that `ask` returns now; 0 is the random start."""
        return self._generations.number

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures of this generation; empty when scores are needed first, or the search is over."""
        return self._generations.ask(n, self._begin_generation)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take scores. Candidates that failed or were refused are not learned from, and are no parents."""
        self._known += self._generations.tell(candidates) or []
        self._judged |= {canonical(one.architecture) for one in candidates}

    def _begin_generation(self) -> None:
        """Propose the random start, or those that promise most of what is drawn; random ones where these are few."""
        number = self._generations.number
        count, chosen = self._config.judged if number else self._config.initial_population, list[Architecture]()
        if self._known:
            drawn = self._drawn()
            scored = [(one.architecture, one.log_loss) for one in self._known]
            places = promising(scored, drawn, count, self._shape, seed=number * count)
            chosen = [drawn[place] for place in places]
        draws: list[Draw] = [functools.partial(_itself, own) for own in chosen]
        self._generations.propose([*draws, *[self._random] * (count - len(chosen))], self._random)

    def _drawn(self) -> list[Architecture]:
        """New networks within the limits, each once: mutations of tournaments' winners, and a share of random ones."""
        found: dict[Architecture, Architecture] = {}
        for _ in range(ATTEMPTS * self._config.proposed):
            if len(found) == self._config.proposed:
                break
            is_random = self._generator.random() < self._config.random_share
            own = self._random() if is_random else self._mutated()
            network = canonical(own)
            if network not in self._judged and self._config.allows(own, self._shape):
                found.setdefault(network, own)
        return list(found.values())

    def _random(self) -> Architecture:
        return single_operator_any_connection(self._space, self._generator)

    def _mutated(self) -> Architecture:
        own = tournament_winner(self._known, self._config.tournament, self._generator).architecture
        for _ in range(MUTATIONS[int(self._generator.integers(len(MUTATIONS)))]):
            own = mutate(own, self._space, self._generator)
        return own


def _itself(architecture: Architecture) -> Architecture:
    return architecture
