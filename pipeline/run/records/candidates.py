"""The search's records: a candidate (a line of candidates.jsonl), winners.json, search_state.json."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from modules.space import Architecture


@dataclass(frozen=True)
class Candidate:
    """A scored architecture: one line of candidates.jsonl."""

    index: int
    """Place in the order in which the strategy was asked, from 0."""
    generation: int
    """Generation of the strategy that proposed it; 0 for what was drawn at random."""
    architecture: Architecture
    """What was scored."""
    score: float | None
    """Validation log loss on the supernet's weights, nats per row; lower is better. None when it failed."""
    multiply_accumulates: int
    """Multiply-accumulates per row, embeddings not counted."""
    parameters: int
    """Parameters, embedding tables not counted."""
    state: Literal["scored", "failed"] = "scored"
    """What became of it: failed when its log loss was not finite. It then is neither a parent nor a winner."""

    def __post_init__(self) -> None:
        if self.state == "failed":
            if self.score is not None:
                raise ValueError(f"candidate {self.index}: score is {self.score}; one that failed has none")
        elif self.score is None or not math.isfinite(self.score):
            raise ValueError(f"candidate {self.index}: score is {self.score}; a log loss is finite")
        for field in ("index", "generation", "multiply_accumulates", "parameters"):
            if getattr(self, field) < 0:
                raise ValueError(f"candidate {self.index}: {field} is {getattr(self, field)}; it cannot be negative")

    @property
    def log_loss(self) -> float:
        """The score of a candidate that has one."""
        assert self.score is not None, "a failed candidate is not compared"
        return self.score


@dataclass(frozen=True)
class Winners:
    """winners.json: the best candidates of a finished search."""

    HOW_TO_MAKE: ClassVar[str] = "run the search first (python -m pipeline.search)"

    space: str
    """Name of the search space."""
    strategy: str
    """Name of the search strategy."""
    candidates: int
    """Candidates scored or failed."""
    supernet_valid_log_loss: float
    """The trained supernet's validation log loss, nats per row (mean of random paths)."""
    winners: tuple[Candidate, ...]
    """At least one, best first."""

    def __post_init__(self) -> None:
        if not self.winners:
            raise ValueError("winners is empty; a search ends with at least one")
        for winner in self.winners:
            if winner.state == "failed":
                raise ValueError(f"candidate {winner.index} failed; it cannot be a winner")


@dataclass(frozen=True)
class SearchState:
    """search_state.json: where a stopped search resumes."""

    strategy: dict[str, Any]
    """The strategy's `state_dict`."""
    candidates: tuple[Candidate, ...]
    """All candidates scored or failed so far, in the order asked."""


def best_candidates(candidates: tuple[Candidate, ...], count: int) -> tuple[Candidate, ...]:
    """The `count` best of the candidates that did not fail, best first; of equal scores the earlier one."""
    ranked = sorted(with_scores(candidates), key=lambda candidate: (candidate.log_loss, candidate.index))
    return tuple(ranked[:count])


def with_scores(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Those that did not fail, in the same order."""
    return tuple(candidate for candidate in candidates if candidate.state == "scored")
