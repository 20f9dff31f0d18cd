"""A scored architecture, as a value and as a line of candidates.jsonl."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from modules.space import Architecture


@dataclass(frozen=True)
class Candidate:
    """A scored architecture: one row of the search's log."""

    index: int
    """Place in the order asked, from 0."""
    generation: int
    """Generation of the strategy that proposed it; 0 for what was drawn at random."""
    architecture: Architecture
    """What was scored."""
    score: float
    """Validation log loss on the supernet's weights, nats a row; lower is better."""
    multiply_accumulates: int
    """Multiply-accumulates a row, embeddings not counted."""
    parameters: int
    """Parameters, embedding tables not counted."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.score):
            raise ValueError(f"candidate {self.index}: score is {self.score}; a log loss is finite")
        for field in ("index", "generation", "multiply_accumulates", "parameters"):
            if getattr(self, field) < 0:
                raise ValueError(f"candidate {self.index}: {field} is {getattr(self, field)}; it cannot be negative")

    def to_json(self) -> dict[str, Any]:
        """The candidate as plain JSON values; `from_json` gives it back exactly."""
        return {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "architecture": self.architecture.to_json(),
        }

    @classmethod
    def from_json(cls, data: Any) -> "Candidate":
        """Read what `to_json` wrote. Raises ValueError naming missing and unknown fields."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(data, dict) or set(data) != names:
            found = sorted(data) if isinstance(data, dict) else type(data).__name__
            raise ValueError(f"a candidate is an object with the fields {sorted(names)}; found {found}")
        return cls(**{**data, "architecture": Architecture.from_json(data["architecture"])})
