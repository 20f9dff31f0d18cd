"""How a candidate is scored: impossible settings are refused."""

import pytest

from pipeline.search.config import ScoringConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [("fine_tune_rows", -1), ("fine_tune_iterations", 0), ("fine_tune_penalty", -1e-9), ("valid_rows", 0)],
)
def test_wrong_settings(field: str, value: float) -> None:
    """A ValueError naming field, value and bound."""
    with pytest.raises(ValueError, match=rf"scoring\.{field} is {value}; it must be at least"):
        ScoringConfig(**{field: value})  # type: ignore[arg-type]
