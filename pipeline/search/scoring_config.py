"""The settings of a candidate's score: how its last layer is fitted, and on how many rows it is judged."""

from dataclasses import dataclass
from typing import Literal


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
