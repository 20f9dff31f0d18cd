"""pipeline/race/recipes.py: where recipes start and how they vary."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.race.config import RaceConfig
from pipeline.race.recipes import (
    WIDTHS,
    changed,
    first_recipes,
    fitting_batch,
    next_steps,
    screening_share,
    search_form,
    variations,
    with_prior,
)
from pipeline.run.records.recipe import Recipe, TrainingRecipe


def test_the_tracks() -> None:
    """tuned begins with fresh tables, kept tables, one pass; one_pass has one pass whatever is varied."""
    tuned, once = RaceConfig(), RaceConfig(track="one_pass")
    assert [(own.epochs, own.planned_epochs, own.tables) for own in first_recipes(tuned, 16)] == [
        (3, 3, "fresh"),
        (2, 3, "kept"),
        (1, 0, "kept"),
    ]
    for recipe in first_recipes(once, 16):
        assert all(own.epochs == 1 for own in (recipe, *variations(recipe, once, True)))


def test_recipes_keep_what_was_configured() -> None:
    """Batch, rates, optimizer and precision of race.recipe are those of every first recipe but for the tables'."""
    asked = TrainingRecipe(batch_size=1024, learning_rate=0.003, optimizer="adam", table_learning_rate=0.4)
    for recipe in first_recipes(RaceConfig(recipe=asked), 32):
        assert (recipe.batch_size, recipe.learning_rate, recipe.optimizer) == (1024, 0.003, "adam")
        assert recipe.embedding_width == 32


@given(st.integers(0, 12), st.integers(1, 10**6), st.sampled_from([1, 2, 3]))
def test_small_logs_have_smaller_batches(power: int, rows: int, ranks: int) -> None:
    """A batch is never larger than asked and stays a multiple of the ranks; it is halved no further than 500 steps a
    pass ask for."""
    asked = ranks * 2**power
    found = fitting_batch(asked, rows, ranks)
    assert asked % found == 0 and found % ranks == 0
    assert found == asked or rows // (2 * found) < 500
    assert rows // found >= 500 or found < 64 or found % (2 * ranks)


def test_rate_and_prior_move_together() -> None:
    """A quarter of the prior has half the table rate; without a prior nothing is scaled."""
    recipe = Recipe(table_learning_rate=1.6, table_prior_count=128.0)
    quarter = with_prior(recipe, 32.0)
    assert (quarter.table_prior_count, quarter.table_learning_rate) == (32.0, pytest.approx(0.8))
    assert with_prior(Recipe(table_learning_rate=0.2), 8.0).table_learning_rate == 0.2


@pytest.mark.parametrize("track", ["tuned", "one_pass"])
@pytest.mark.parametrize("width", [4, *WIDTHS, 200])
def test_variations_are_steps(track: Any, width: int) -> None:
    """Every variation differs from the recipe and from the others, and changes the width by one step at most."""
    config = RaceConfig(track=track)
    for recipe in first_recipes(config, width):
        found = list(variations(recipe, config, False))
        assert len({recipe, *found}) == 1 + len(found)
        widths = sorted({*WIDTHS, width})
        near = widths[max(0, widths.index(width) - 1) : widths.index(width) + 2]
        assert all(own.embedding_width in near for own in found)


def test_the_short_form() -> None:
    """One pass with everything else the same, but for the width, which is at most the one that the race starts with;
    of several passes over kept tables the first of two planned ones, screened on twice the rows."""
    fresh, kept, once = first_recipes(RaceConfig(), 16)
    assert search_form(once, 32) == once
    short = search_form(fresh, 16)
    assert short == dataclasses.replace(once, planned_epochs=0) and screening_share(short, 0.25) == 0.25
    wide = dataclasses.replace(fresh, embedding_width=64)
    assert search_form(wide, 16) == short
    first = search_form(kept, 16)
    assert changed(first, kept) == {"epochs", "planned_epochs", "keep_best_pass"}
    assert (first.epochs, first.planned_epochs) == (1, 2) and screening_share(first, 0.25) == 0.5
    assert screening_share(first, 0.75) == 1


@given(st.lists(st.integers(0, 6), min_size=1, max_size=2, unique=True))
def test_what_helped_is_combined_and_repeated(places: list[int]) -> None:
    """Of variations that were better, the first thing tried next has all their changes, the best one's where they
    contradict; then come those that change the same as the best one. Without any, there is nothing to try first."""
    recipe = Recipe(embedding_width=32, epochs=2, planned_epochs=3, table_prior_count=32.0, table_learning_rate=0.8)
    assert next_steps(recipe, [], RaceConfig(), True) == []
    found = list(variations(recipe, RaceConfig(), True))
    better = [found[place] for place in places]
    joined, *again = next_steps(recipe, better, RaceConfig(), True)
    changes = [changed(recipe, one) for one in better]
    assert changed(recipe, joined) == frozenset().union(*changes)
    assert all(getattr(joined, name) == getattr(better[0], name) for name in changes[0])
    assert all(getattr(joined, name) == getattr(better[-1], name) for name in changes[-1] - changes[0])
    assert all(changed(better[0], other) == changes[0] for other in again)
