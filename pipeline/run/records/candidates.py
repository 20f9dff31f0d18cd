"""The search's records: a candidate (a line of candidates.jsonl) and winners.json."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from modules.space import Architecture
from pipeline.run.names import CandidateValue


@dataclass(frozen=True)
class Candidate:
    """An architecture that the search judged: one line of candidates.jsonl."""

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
    state: Literal["scored", "failed", "refused"] = "scored"
    """What became of it: failed when its log loss was not finite, refused (and not scored) when its measured latency is
    over the limit. It then is neither a parent nor a winner."""
    reason: str = ""
    """Why it failed or was refused, in words; empty when it was scored."""
    table_bytes: int = 0
    """Bytes of its embedding tables in float32."""
    latency_us: float | None = None
    """Median time of a batch on one CPU thread (`pipeline.search.latency`), in microseconds; None: not measured."""
    judged_rows: int = 0
    """Validation rows that it was judged on; 0: none. Where others have more, it was clearly worse than the contenders
    for the winners' places, and its score is an estimate: a contender's, and the mean difference on these rows."""
    standard_error: float | None = None
    """Of the mean row-by-row difference of its losses to those of the contender that it was compared with, nats, at
    least 0; 0 for that contender itself; None where it has no score, or there was none."""

    def __post_init__(self) -> None:
        if self.state != "scored":
            if self.score is not None:
                raise ValueError(f"candidate {self.index}: score is {self.score}; one that {self._ended} has none")
            if not self.reason:
                raise ValueError(f"candidate {self.index}: reason is empty; one that {self._ended} says why")
        elif self.score is None or not math.isfinite(self.score):
            raise ValueError(f"candidate {self.index}: score is {self.score}; a log loss is finite")
        elif self.reason:
            raise ValueError(f"candidate {self.index}: reason is {self.reason!r}; one that was scored has none")
        for field in ("index", "generation", "multiply_accumulates", "parameters", "table_bytes", "judged_rows"):
            if getattr(self, field) < 0:
                raise ValueError(f"candidate {self.index}: {field} is {getattr(self, field)}; it cannot be negative")
        if self.latency_us is not None and not 0 < self.latency_us < math.inf:
            raise ValueError(f"candidate {self.index}: latency_us is {self.latency_us}; it is a time above 0")

        if self.standard_error is not None and not 0 <= self.standard_error < math.inf:
            raise ValueError(f"candidate {self.index}: standard_error is {self.standard_error}; it is at least 0")

    @property
    def log_loss(self) -> float:
        """The score of a candidate that has one."""
        assert self.score is not None, "a candidate without a score is not compared"
        return self.score

    def value(self, name: CandidateValue) -> float:
        """A value of a scored candidate by its name."""
        found: float | None = getattr(self, name)
        assert found is not None, f"{name} was not measured"
        return float(found)

    @property
    def _ended(self) -> str:
        return "failed" if self.state == "failed" else "was refused"


@dataclass(frozen=True)
class Winners:
    """winners.json: the best candidates of a finished search."""

    HOW_TO_MAKE: ClassVar[str] = "run the search first (python -m pipeline.search)"

    space: str
    """Name of the search space."""
    strategy: str
    """Name of the search strategy."""
    candidates: int
    """Candidates judged: scored, failed or refused."""
    supernet_valid_log_loss: float
    """The trained supernet's validation log loss, nats per row (mean of random paths)."""
    winners: tuple[Candidate, ...]
    """At least one, best first."""

    def __post_init__(self) -> None:
        if not self.winners:
            raise ValueError("winners is empty; a search ends with at least one")
        for winner in self.winners:
            if winner.state != "scored":
                raise ValueError(f"candidate {winner.index} {winner._ended}; it cannot be a winner")


def best_candidates(candidates: tuple[Candidate, ...], count: int) -> tuple[Candidate, ...]:
    """The `count` best of the candidates that have a score, best first; of equal scores the earlier one.

    Those that were judged on the most rows come first: the scores of others are estimates.
    """
    scored = with_scores(candidates)
    most = max((one.judged_rows for one in scored), default=0)
    return tuple(sorted(scored, key=lambda one: (one.judged_rows < most, one.log_loss, one.index))[:count])


def with_scores(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Those that were scored, in the same order."""
    return tuple(candidate for candidate in candidates if candidate.state == "scored")
