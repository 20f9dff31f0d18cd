"""The settings of the search: how candidates are chosen, by each strategy, and how one is scored."""

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.run.names import CandidateValue
from pipeline.search.limits import Limits


@dataclass(frozen=True)
class EvolutionConfig(Limits):
    """How many candidates regularized evolution judges, how it chooses them, and what they may cost.

    The published search (docs/search_space.md) has initial_population 128, generations 240, tournament 64, children 8.
    """

    strategy: Literal["evolution"] = "evolution"
    """How candidates are chosen: evolution, nsga2 or random (`--search.strategy nsga2 --help` lists its settings)."""
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
    """How candidates are chosen: nsga2, evolution or random (`--search.strategy random --help` lists its settings)."""
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
class RandomSearchConfig(Limits):
    """How many candidates random search scores, and what they may cost."""

    strategy: Literal["random"] = "random"
    """How candidates are chosen: random, evolution or nsga2 (`--search.strategy nsga2 --help` lists its settings)."""
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


SearchConfig = EvolutionConfig | NSGA2Config | RandomSearchConfig
"""Any strategy's settings. Each has `strategy`, its name; `candidates`, how many are judged; `of_size`; and the
limits."""

SEARCH_CONFIGS: dict[str, type[SearchConfig]] = {kind.strategy: kind for kind in get_args(SearchConfig)}
"""The settings by the name that `--search.strategy` gives."""


@dataclass(frozen=True)
class ScoringConfig:
    """How a candidate's last layer is fitted, and on how many validation rows it is judged.

    Candidates that are asked together, and the best ones so far, are compared on the same validation rows, first on a
    share of them; who is clearly worse than the contenders for the winners' places is judged on no more.
    """

    protocol: Literal["fitted", "published"] = "fitted"
    """How the last layer is trained: fitted to convergence with a penalty that held-out rows choose, or published (the
    NASRec authors' steps of Adagrad)."""
    fine_tune_rows: int = 32_768
    """Training rows that the last layer is fitted on, a seeded sample; 0: the supernet's head as it is."""
    fine_tune_penalties: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4)
    """Fitted: weights of the squared distance from the supernet's head, of which the one is taken that is best on a
    fifth of the rows held out; at least one, each above 0."""
    fine_tune_tolerance: float = 1e-9
    """Fitted: the fit ends when the loss is this near to its minimum, as the gradient and the curvature say; nats per
    row, above 0."""
    fine_tune_iterations: int = 200
    """Fitted: iterations after which a fit ends in any case, at least 1."""
    fine_tune_mb: float = 256.0
    """Fitted: a candidate's features of the fitted rows are kept where they take at most this, else they are computed
    anew whenever they are read; MB (1e6 bytes) per candidate, at least 0. At most 4 candidates are fitted at a time, or
    one a thread where there are more threads."""
    published_steps: int = 500
    """Published: steps of the last layer, at least 1."""
    published_batch: int = 512
    """Published: rows of a step, at least 1. The rows, fine_tune_rows, are begun again where they do not suffice."""
    published_rate: float = 0.04
    """Published: Adagrad's highest learning rate, above 0."""
    valid_rows: int = 32_768
    """Validation rows that give the score, a seeded sample (all, if the split is smaller), at least 1."""
    valid_shares: tuple[float, ...] = (0.125, 0.5, 1.0)
    """Shares of these rows on which candidates are judged one after the other, ascending; the last is 1."""
    stop_errors: float = 3.0
    """Standard errors of the row-by-row difference by which a candidate is worse than the contenders for the winners'
    places when it is judged on no further rows; 0: all are judged on all rows."""
    asked_together: int = 16
    """Candidates that are asked of the strategy and judged together (on any number of processes), at least 1."""

    def __post_init__(self) -> None:
        if self.protocol not in ("fitted", "published"):
            raise ValueError(f"scoring.protocol is {self.protocol!r}; choose one of ['fitted', 'published']")
        for name, least in (
            ("fine_tune_rows", 0),
            ("fine_tune_iterations", 1),
            ("fine_tune_mb", 0),
            ("published_steps", 1),
            ("published_batch", 1),
            ("valid_rows", 1),
            ("stop_errors", 0),
            ("asked_together", 1),
        ):
            if not getattr(self, name) >= least:
                raise ValueError(f"scoring.{name} is {getattr(self, name)}; it must be at least {least}")
        for name in ("fine_tune_tolerance", "published_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"scoring.{name} is {getattr(self, name)}; it must be above 0")
        if not self.fine_tune_penalties or not min(self.fine_tune_penalties) > 0:
            raise ValueError(
                f"scoring.fine_tune_penalties is {self.fine_tune_penalties}; give at least one, each above 0"
            )
        shares = self.valid_shares
        if not shares or not shares[0] > 0 or shares[-1] != 1 or list(shares) != sorted(set(shares)):
            raise ValueError(f"scoring.valid_shares is {shares}; shares above 0 ascend, and the last is 1")


PUBLISHED = ScoringConfig(protocol="published", fine_tune_rows=256_000, valid_rows=1_228_800, stop_errors=0)
"""The published search's: 500 steps of 512 rows, then the log loss on 150 × 8,192 validation rows."""
