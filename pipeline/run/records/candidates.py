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
    score: float
    """Validation log loss on the supernet's weights, nats per row; lower is better."""
    multiply_accumulates: int
    """Multiply-accumulates per row, embeddings not counted."""
    parameters: int
    """Parameters, embedding tables not counted."""
    state: Literal["scored"] = "scored"
    """What became of it."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.score):
            raise ValueError(f"candidate {self.index}: score is {self.score}; a log loss is finite")
        for field in ("index", "generation", "multiply_accumulates", "parameters"):
            if getattr(self, field) < 0:
                raise ValueError(f"candidate {self.index}: {field} is {getattr(self, field)}; it cannot be negative")


@dataclass(frozen=True)
class Winners:
    """winners.json: the best candidates of a finished search."""

    HOW_TO_MAKE: ClassVar[str] = "run the search first (python -m pipeline.search)"

    space: str
    """Name of the search space."""
    strategy: str
    """Name of the search strategy."""
    candidates: int
    """Candidates scored."""
    supernet_valid_log_loss: float
    """The trained supernet's validation log loss, nats per row (mean of random paths)."""
    winners: tuple[Candidate, ...]
    """At least one, best first."""

    def __post_init__(self) -> None:
        if not self.winners:
            raise ValueError("winners is empty; a search ends with at least one")


@dataclass(frozen=True)
class SearchState:
    """search_state.json: where a stopped search resumes."""

    strategy: dict[str, Any]
    """The strategy's `state_dict`."""
    candidates: tuple[Candidate, ...]
    """All candidates scored so far, in the order asked."""


def best_candidates(candidates: tuple[Candidate, ...], count: int) -> tuple[Candidate, ...]:
    """The `count` best candidates, best first; of equal scores the earlier one."""
    return tuple(sorted(candidates, key=lambda candidate: (candidate.score, candidate.index))[:count])
