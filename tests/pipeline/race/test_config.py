"""pipeline/race/config.py: settings out of range are refused by name."""

from typing import Any

import pytest

from pipeline.race.config import RaceConfig
from pipeline.run.records.recipe import TrainingRecipe


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("generations", -1),
        ("max_rows", 0),
        ("valid_rows", 0),
        ("screening_share", 0.0),
        ("promoted_share", 1.5),
        ("handmade", ("transformer",)),
        ("handmade", ("dlrm", "dlrm")),
        ("max_mega_operations", -1.0),
        ("from_supernet", -1),
        ("supernet_rows", -1),
        ("random", -1),
        ("children", 0),
        ("tournament", 0),
        ("population", 0),
        ("finalists", 0),
        ("handmade_finalists", -1),
        ("tuning_trials", -1),
        ("retrained", 0),
        ("workers", -1),
        ("recipe", TrainingRecipe(epochs=2)),
    ],
)
def test_values_out_of_range(field: str, value: Any) -> None:
    """The message names the field as it is given on the command line, and what was found."""
    with pytest.raises(ValueError, match=rf"race\.{field}"):
        RaceConfig(**{field: value})
