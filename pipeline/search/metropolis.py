"""Metropolis–Hastings evolution: chains walk through the space by what a predictor expects, and their ends are judged.

After CSCO (arXiv:2404.17152), whose search leaves local optima by accepting a worse network with a probability that
falls with the predicted difference. Where the paper does not say: the predictor is trees boosted on every network that
was judged (predictor.py), one fitted for each chain; a chain begins at the winner of a tournament and takes `steps`
mutations; a move that makes the predicted excess loss larger by a factor f is accepted with probability f^(−1/T). If
mutations were as likely as their reversals, a long chain would visit networks in proportion to excess^(−1/T).
"""

import math
from collections.abc import Callable, Sequence

import numpy

from modules.space import Architecture, InputShape, SearchSpace, mutate, single_operator_any_connection
from pipeline.run.records.candidates import Candidate
from pipeline.search.config import MetropolisConfig
from pipeline.search.generations import Draw, Generations, tournament_winner
from pipeline.search.predictor import FEWEST, Predictor

Energy = Callable[[Architecture], float]
"""What chains try to make small."""


class MetropolisEvolution:
    """The ends of a generation's chains are found together, when all candidates of the last one are scored.

    `generator` (numpy.random.default_rng) becomes the strategy's own.
    """

    def __init__(
        self, config: MetropolisConfig, space: SearchSpace, shape: InputShape, generator: numpy.random.Generator
    ) -> None:
        self._config, self._space, self._shape, self._generator = config, space, shape, generator
        self._generations = Generations(config, shape, config.generations)
        self._known: list[Candidate] = []  # those with a score, in the order asked

    @property
    def generation(self) -> int:
        """Generation of the architectures that `ask` returns now; 0 is the random start."""
        return self._generations.number

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures of this generation; empty when scores are needed first, or the search is over."""
        return self._generations.ask(n, self._begin_generation)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take scores. Candidates that failed or were refused are not learned from, and no chain begins there."""
        self._known += self._generations.tell(candidates) or []

    def _begin_generation(self) -> None:
        """Propose the random start, or the ends of chains. Without a beginning, or a new end, random ones."""

        def random() -> Architecture:
            return single_operator_any_connection(self._space, self._generator)

        count = self._config.judged if self._generations.number else self._config.initial_population
        self._generations.propose((self._chain(number) if self._known else random for number in range(count)), random)

    def _chain(self, number: int) -> Draw:
        """A walk: first of all its steps, then, as long as what it came to is no new network, of one more each."""
        energy = self._energy(number)
        at = tournament_winner(self._known, self._config.tournament, self._generator).architecture
        known, left = energy(at), self._config.steps

        def draw() -> Architecture:
            nonlocal at, known, left
            for _ in range(max(left, 1)):
                moved = mutate(at, self._space, self._generator)
                if self._config.allows(moved, self._shape):
                    value = energy(moved)
                    if is_accepted(known, value, self._config.temperature, self._generator):
                        at, known = moved, value
            left = 0
            return at

        return draw

    def _energy(self, number: int) -> Energy:
        """What a chain of this number goes by: a predictor of its own, or nothing where too few networks are known."""
        if len(self._known) < FEWEST:
            return lambda _: 0.0
        scored = [(one.architecture, one.log_loss) for one in self._known]
        return Predictor(scored, self._shape, seed=self._generations.number * self._config.judged + number).excess


def is_accepted(energy: float, moved: float, temperature: float, generator: numpy.random.Generator) -> bool:
    """Whether a chain moves from one energy to another: with probability min(1, e^((energy − moved) / temperature)).

    Metropolis et al. 1953: with moves as likely as their reversals, states are visited in proportion to e^(−energy /
    temperature), since e^(−a/T) min(1, e^((a−b)/T)) is the same with a and b exchanged. At temperature 0 only what is
    not worse is accepted. One number is drawn in any case.
    """
    drawn = generator.random()
    if moved <= energy:
        return True
    return temperature > 0 and drawn < math.exp((energy - moved) / temperature)
