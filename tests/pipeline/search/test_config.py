"""How a candidate is scored: impossible settings are refused."""

import pytest

from pipeline.search.scoring_config import ScoringConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fine_tune_rows", -1),
        ("fine_tune_iterations", 0),
        ("fine_tune_mb", -1.0),
        ("published_steps", 0),
        ("published_batch", 0),
        ("valid_rows", 0),
        ("stop_errors", -0.5),
        ("asked_together", 0),
    ],
)
def test_wrong_settings(field: str, value: float) -> None:
    """A ValueError naming field, value and bound."""
    with pytest.raises(ValueError, match=rf"scoring\.{field} is {value}; it must be at least"):
        ScoringConfig(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("protocol", "adam", "'adam'; choose one of"),
        ("fine_tune_tolerance", 0.0, "0.0; it must be above 0"),
        ("published_rate", 0.0, "0.0; it must be above 0"),
        ("fine_tune_penalties", (), r"\(\); give at least one"),
        ("fine_tune_penalties", (1e-2, 0.0), "each above 0"),
        ("valid_shares", (), "the last is 1"),
        ("valid_shares", (0.5,), "the last is 1"),
        ("valid_shares", (0.0, 1.0), "shares above 0"),
        ("valid_shares", (0.5, 0.25, 1.0), "ascend"),
    ],
)
def test_other_wrong_settings(field: str, value: object, message: str) -> None:
    """Likewise, with what is allowed."""
    with pytest.raises(ValueError, match=rf"scoring\.{field} is .*{message}"):
        ScoringConfig(**{field: value})  # type: ignore[arg-type]
