"""The settings of the search: how candidates are chosen, by each strategy."""

import dataclasses
from dataclasses import dataclass
from typing import Literal, Self, get_args

from pipeline.run.names import CandidateValue
from pipeline.search.limits import Limits


@dataclass(frozen=True)
class EvolutionConfig(Limits):
    """How many candidates regularized evolution judges, how it chooses them, and what they may cost.

    The published search (docs/search_space.md) has initial_population 128, generations 240, tournament 64, children 8.
    """

    strategy: Literal["evolution"] = "evolution"
    """How candidates are chosen: evolution, metropolis, nsga2, predicted or random (`--search.strategy nsga2 --help`
    lists its settings)."""
    initial_population: int = 32
    """Architectures drawn at random to start with, at least 1; as many members are kept alive."""
    generations: int = 12
    """Generations after the first, at least 0."""
    tournament: int = 16
    """Members of the population that compete to be a generation's parent, 1 to initial_population."""
    children: int = 8
    """Mutated copies of the parent per generation, which replace the oldest members; 1 to initial_population."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, least in (("initial_population", 1), ("generations", 0)):
            if getattr(self, field) < least:
                raise ValueError(f"search.{field} is {getattr(self, field)}; it must be at least {least}")
        for field in ("tournament", "children"):
            if not 1 <= getattr(self, field) <= self.initial_population:
                raise ValueError(
                    f"search.{field} is {getattr(self, field)}; "
                    f"it must be between 1 and initial_population, {self.initial_population}"
                )

    @property
    def candidates(self) -> int:
        """Architectures judged in all."""
        return self.initial_population + self.generations * self.children

    @classmethod
    def of_size(cls, candidates: int) -> "EvolutionConfig":
        """Default settings with the generations that score at most so many candidates (at least the first 32).

        >>> EvolutionConfig.of_size(128).candidates
        128
        """
        sizes = cls()
        generations = max(0, candidates - sizes.initial_population) // sizes.children
        return dataclasses.replace(sizes, generations=generations)


@dataclass(frozen=True)
class NSGA2Config(Limits):
    """How many candidates NSGA-II judges, by which objectives it chooses them, and what they may cost."""

    strategy: Literal["nsga2"] = "nsga2"
    """How candidates are chosen: nsga2, evolution, metropolis, predicted or random (`--search.strategy random --help`
    lists its settings)."""
    population: int = 16
    """Architectures drawn at random to start with, children of each generation, and survivors of it; at least 2."""
    generations: int = 7
    """Generations after the first, at least 0."""
    objectives: tuple[CandidateValue, ...] = ("log_loss", "multiply_accumulates")
    """Values of a candidate that are made small together: at least one, none twice. With latency_us each candidate's
    latency is measured."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, least in (("population", 2), ("generations", 0)):
            if getattr(self, field) < least:
                raise ValueError(f"search.{field} is {getattr(self, field)}; it must be at least {least}")
        known = get_args(CandidateValue)
        if not self.objectives or len(set(self.objectives)) < len(self.objectives) or set(self.objectives) - {*known}:
            raise ValueError(f"search.objectives is {self.objectives}; it must be some of {known}, none twice")

    @property
    def measures_latency(self) -> bool:
        """Whether candidates' latency is measured."""
        return super().measures_latency or "latency_us" in self.objectives

    @property
    def candidates(self) -> int:
        """Architectures judged in all."""
        return self.population * (1 + self.generations)

    @classmethod
    def of_size(cls, candidates: int) -> "NSGA2Config":
        """Default settings with the generations that judge at most so many candidates (at least the first 16).

        >>> NSGA2Config.of_size(128).candidates
        128
        """
        sizes = cls()
        return dataclasses.replace(sizes, generations=max(0, candidates // sizes.population - 1))


@dataclass(frozen=True)
class _LearningConfig(Limits):
    """What the strategies that learn from scored networks have in common."""

    initial_population: int = 32
    """Architectures drawn at random to start with, at least 1; from 16 on the predictor has something to learn from."""
    generations: int = 12
    """Generations after the first, at least 0."""
    judged: int = 8
    """Networks of a generation that are judged, at least 1."""
    tournament: int = 16
    """Scored networks that compete to be where a new one begins, at least 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, least in (("initial_population", 1), ("generations", 0), ("judged", 1), ("tournament", 1)):
            if getattr(self, field) < least:
                raise ValueError(f"search.{field} is {getattr(self, field)}; it must be at least {least}")

    @property
    def candidates(self) -> int:
        """Architectures judged in all."""
        return self.initial_population + self.generations * self.judged

    @classmethod
    def of_size(cls, candidates: int) -> Self:
        """Default settings with the generations that judge at most so many candidates (at least the first 32).

        >>> MetropolisConfig.of_size(128).candidates, PredictedConfig.of_size(20).candidates
        (128, 32)
        """
        sizes = cls()
        generations = max(0, candidates - sizes.initial_population) // sizes.judged
        return dataclasses.replace(sizes, generations=generations)


@dataclass(frozen=True)
class MetropolisConfig(_LearningConfig):
    """How many candidates Metropolis–Hastings evolution judges, how its chains walk, and what candidates may cost."""

    strategy: Literal["metropolis"] = "metropolis"
    """How candidates are chosen: metropolis, evolution, nsga2, predicted or random (`--search.strategy nsga2 --help`
    lists its settings)."""
    steps: int = 10
    """Mutations that a chain tries, at least 1; a generation has a chain for each network that is judged, its end."""
    temperature: float = 0.1
    """How readily a chain moves to what is predicted to be worse, at least 0: with .1 it moves to a network whose
    predicted distance to the best loss known is 10 % larger with probability 1/e."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise ValueError(f"search.steps is {self.steps}; it must be at least 1")
        if not self.temperature >= 0:
            raise ValueError(f"search.temperature is {self.temperature}; it must be at least 0")


@dataclass(frozen=True)
class PredictedConfig(_LearningConfig):
    """How many candidates the search by a predictor judges, from how many drawn, and what they may cost."""

    strategy: Literal["predicted"] = "predicted"
    """How candidates are chosen: predicted, evolution, metropolis, nsga2 or random (`--search.strategy nsga2 --help`
    lists its settings)."""
    proposed: int = 64
    """Networks drawn for a generation, of which those are judged that promise most, at least `judged`."""
    random_share: float = 0.1
    """Share of these that is drawn from the whole space, 0 to 1; the others are mutations of good networks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.proposed < self.judged:
            raise ValueError(f"search.proposed is {self.proposed}; it must be at least search.judged, {self.judged}")
        if not 0 <= self.random_share <= 1:
            raise ValueError(f"search.random_share is {self.random_share}; it is a share, 0 to 1")


@dataclass(frozen=True)
class RandomSearchConfig(Limits):
    """How many candidates random search scores, and what they may cost."""

    strategy: Literal["random"] = "random"
    """How candidates are chosen: random, evolution, metropolis, nsga2 or predicted (`--search.strategy nsga2 --help`
    lists its settings)."""
    candidates: int = 128
    """Architectures judged in all, at least 1; where the command line chooses random search for a run that has
    another strategy, as many as that strategy would judge."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.candidates < 1:
            raise ValueError(f"search.candidates is {self.candidates}; it must be at least 1")

    @classmethod
    def of_size(cls, candidates: int) -> "RandomSearchConfig":
        """Settings for so many candidates."""
        return cls(candidates=candidates)


SearchConfig = EvolutionConfig | MetropolisConfig | NSGA2Config | PredictedConfig | RandomSearchConfig
"""Any strategy's settings. Each has `strategy`, its name; `candidates`, how many are judged; `of_size`; and the
limits."""

SEARCH_CONFIGS: dict[str, type[SearchConfig]] = {kind.strategy: kind for kind in get_args(SearchConfig)}
"""The settings by the name that `--search.strategy` gives."""
