"""How large a search is, and how a candidate is judged."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SearchConfig:
    """How many candidates are scored and how they are chosen.

    The published search (search_space.md) is initial_population 128, generations 240, tournament 64, children 8.
    """

    strategy: Literal["evolution", "random"] = "evolution"
    """Regularized evolution, or random search over as many candidates."""
    initial_population: int = 32
    """Architectures drawn at random to start with, at least 1; evolution keeps that many alive."""
    generations: int = 12
    """Generations after the first, at least 0."""
    tournament: int = 16
    """Members of the population that compete to be a generation's parent, 1 to initial_population (random search has
    no parents)."""
    children: int = 8
    """Mutated copies of the parent a generation, which replace the oldest; 1 to initial_population."""

    def __post_init__(self) -> None:
        if self.strategy not in ("evolution", "random"):
            raise ValueError(f"SearchConfig.strategy is {self.strategy!r}; choose evolution or random")
        for field, least in (("initial_population", 1), ("generations", 0)):
            if getattr(self, field) < least:
                raise ValueError(f"SearchConfig.{field} is {getattr(self, field)}; it must be at least {least}")
        for field in ("tournament", "children"):
            if not 1 <= getattr(self, field) <= self.initial_population:
                raise ValueError(
                    f"SearchConfig.{field} is {getattr(self, field)}; "
                    f"it must be between 1 and initial_population, {self.initial_population}"
                )

    @property
    def candidates(self) -> int:
        """Architectures scored in all, by either strategy."""
        return self.initial_population + self.generations * self.children


@dataclass(frozen=True)
class ScoringConfig:
    """How a candidate is judged. The published search fine-tunes on 500 × 512 rows and judges on 150 × 8,192."""

    fine_tune_rows: int = 8_192
    """Training rows that the last layer is fitted on before scoring; 0: the supernet's head as it is."""
    fine_tune_iterations: int = 10
    """L-BFGS iterations of that fit, at least 1."""
    fine_tune_penalty: float = 1e-4
    """Weight of the squared distance from the supernet's head in the fit, at least 0."""
    valid_rows: int = 8_192
    """Validation rows that give the score (fewer if the split is smaller), at least 1."""

    def __post_init__(self) -> None:
        for name, least in (
            ("fine_tune_rows", 0),
            ("fine_tune_iterations", 1),
            ("fine_tune_penalty", 0),
            ("valid_rows", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"scoring.{name} is {getattr(self, name)}; it must be at least {least}")
