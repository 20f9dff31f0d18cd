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
    ],
)
def test_values_out_of_range(field: str, value: Any) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match=field):
        changes: dict[str, Any] = {"epochs": 2, field: value}
        Recipe(**changes)


def test_there_and_back() -> None:
    """A recipe is read as it was written, and as a training recipe it lacks the width alone."""
    recipe = Recipe(embedding_width=32, epochs=3, tables="fresh", table_prior_count=32.0)
    assert from_plain(to_plain(recipe), Recipe, "here") == recipe
    assert Recipe(**TrainingRecipe(**recipe.values()).values(), embedding_width=32) == recipe
