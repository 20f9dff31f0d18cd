"""How a candidate is scored. (How candidates are chosen is configured beside each strategy.)"""

from dataclasses import dataclass


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
