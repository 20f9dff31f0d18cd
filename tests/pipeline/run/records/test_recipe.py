"""pipeline/run/records/recipe.py: recipes as values."""

from typing import Any

import pytest

from pipeline.run.records.codec import from_plain, to_plain
from pipeline.run.records.recipe import Recipe, TrainingRecipe


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 0),
        ("epochs", 0),
        ("planned_epochs", 1),
        ("table_prior_count", -1.0),
        ("learning_rate", 0.0),
        ("table_learning_rate", float("nan")),
        ("clip_norm", 0.0),
        ("epsilon", 0.0),
        ("warm_up_share", 1.1),
        ("initial_square", -1.0),
        ("embedding_width", 0),
        ("embedding_width", 10),
        ("table_widths", (4, 6)),
        ("table_widths", (4, 20)),
    ],
)
def test_values_out_of_range(field: str, value: Any) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match=field):
        changes: dict[str, Any] = {"epochs": 2, field: value}
        Recipe(**changes)


def test_there_and_back() -> None:
    """A recipe is read as it was written, and as a training recipe it lacks the widths alone."""
    recipe = Recipe(embedding_width=32, epochs=3, tables="fresh", table_prior_count=32.0, table_widths=(4, 32))
    assert from_plain(to_plain(recipe), Recipe, "here") == recipe
    widths: dict[str, Any] = {"embedding_width": 32, "table_widths": (4, 32)}
    assert Recipe(**TrainingRecipe(**recipe.values()).values(), **widths) == recipe


def test_widths_for_another_number_of_tables() -> None:
    """The message says how many there are."""
    with pytest.raises(ValueError, match="table_widths has 2 widths for 3 tables"):
        Recipe(embedding_width=8, table_widths=(4, 8)).widths(3)
