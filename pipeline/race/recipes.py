"""The recipes of the race: where every contender starts, what is varied, and the short form for screening.

Rows of a table that start with a prior of κ occurrences learn best with a table rate that grows with √κ: the two move
together (modules/table_prior.py; DECISIONS.md, 2026-11-21).
"""

import dataclasses
import math
from collections.abc import Iterator

from pipeline.race.config import RaceConfig
from pipeline.run.records.recipe import Recipe

WIDTHS = (8, 16, 32, 64, 128)
"""Embedding widths D that the race tries."""
CHEAP_WIDTH = 32
"""Widths from here on are doubled only after other things were tried: they cost the most, and rarely win."""
PASS_STEPS = 500
"""Steps that a pass has at least, as far as smaller batches can give them."""
LEAST_BATCH = 32
"""Rows of a batch that is not halved any more."""
KEPT_PRIOR = 32.0
"""Prior count κ with which several passes over kept tables start."""


def first_recipes(config: RaceConfig, embedding_width: int) -> list[Recipe]:
    """The recipes that the race compares first: on the tuned track the ways to live through several passes.

    One pass; three passes with tables drawn anew for each (MEDA, arXiv:2407.01607); two of three planned passes with
    tables kept. On the one_pass track one pass with several priors.
    """
    one = Recipe(**config.recipe.values(), embedding_width=embedding_width)
    if config.track == "one_pass":
        return [one, with_prior(one, KEPT_PRIOR), with_prior(one, 8.0)]
    fresh = dataclasses.replace(
        one, epochs=3, keep_best_pass=True, tables="fresh", table_schedule="each_pass", planned_epochs=3
    )
    kept = dataclasses.replace(one, epochs=2, planned_epochs=3, keep_best_pass=True)
    return [fresh, with_prior(kept, KEPT_PRIOR), one]


def fitting_batch(batch_size: int, pass_rows: int, ranks: int = 1) -> int:
    """The batch size, halved until a pass has `PASS_STEPS` steps, or `LEAST_BATCH` rows are left: fewer steps leave a
    network half trained. It stays a multiple of the ranks that share a batch.

    >>> fitting_batch(512, 160_000), fitting_batch(512, 16_000), fitting_batch(512, 800)
    (256, 32, 32)
    """
    while pass_rows // batch_size < PASS_STEPS and batch_size >= 2 * LEAST_BATCH and batch_size % (2 * ranks) == 0:
        batch_size //= 2
    return batch_size


def with_prior(recipe: Recipe, count: float) -> Recipe:
    """The recipe with another prior, and the table rate that goes with it."""
    if recipe.table_prior_count == 0 or count == 0:
        return dataclasses.replace(recipe, table_prior_count=count)
    rate = recipe.table_learning_rate * math.sqrt(count / recipe.table_prior_count)
    return dataclasses.replace(recipe, table_prior_count=count, table_learning_rate=rate)


def variations(recipe: Recipe, config: RaceConfig, helped: frozenset[str] = frozenset()) -> list[Recipe]:
    """Recipes one step away, those first that move results most on the logs that were tried (DECISIONS.md); before
    them those that change what last `helped` once more."""
    return sorted(_neighbours(recipe, config), key=lambda other: changed(recipe, other) != helped)


def changed(recipe: Recipe, other: Recipe) -> frozenset[str]:
    """The fields in which two recipes differ.

    >>> sorted(changed(Recipe(), with_prior(Recipe(table_prior_count=8.0), 8.0)))
    ['table_prior_count']
    """
    return frozenset(
        field.name for field in dataclasses.fields(recipe) if getattr(recipe, field.name) != getattr(other, field.name)
    )


def _neighbours(recipe: Recipe, config: RaceConfig) -> Iterator[Recipe]:
    wider = [width for width in WIDTHS if width > recipe.embedding_width]
    narrower = [width for width in WIDTHS if width < recipe.embedding_width]
    is_cheap = recipe.embedding_width < CHEAP_WIDTH
    if wider and is_cheap:
        yield dataclasses.replace(recipe, embedding_width=wider[0])
    if recipe.planned_epochs > recipe.epochs:
        yield dataclasses.replace(recipe, epochs=recipe.epochs + 1, planned_epochs=recipe.planned_epochs + 1)
    yield with_prior(recipe, recipe.table_prior_count / 4)
    yield dataclasses.replace(recipe, learning_rate=recipe.learning_rate / 2)
    yield dataclasses.replace(recipe, learning_rate=recipe.learning_rate * 2)
    yield with_prior(recipe, recipe.table_prior_count * 4)
    if wider and not is_cheap:
        yield dataclasses.replace(recipe, embedding_width=wider[0])
    if config.track == "tuned":
        yield from (
            dataclasses.replace(other, batch_size=recipe.batch_size, learning_rate=recipe.learning_rate)
            for other in first_recipes(config, recipe.embedding_width)
            if (other.epochs, other.tables) != (recipe.epochs, recipe.tables)
        )
    if narrower:
        yield dataclasses.replace(recipe, embedding_width=narrower[-1])


def search_form(recipe: Recipe, embedding_width: int) -> Recipe:
    """The recipe with which many contenders are compared: no wider than where the race starts, since width costs the
    most and is tuned at the end; of passes with fresh tables one is enough to tell contenders apart, while kept tables
    are what contenders differ in and need all passes."""
    narrow = dataclasses.replace(recipe, embedding_width=min(embedding_width, recipe.embedding_width))
    if recipe.tables == "kept":
        return narrow
    return dataclasses.replace(
        narrow, epochs=1, planned_epochs=0, keep_best_pass=False, tables="kept", table_schedule="as_dense"
    )


def screening_form(form: Recipe, row_share: float) -> tuple[Recipe, float]:
    """How new contenders are screened, for a search form and the share of its rows that screening may read.

    Of several passes over kept tables it is the first one, over as many rows as all passes on that share would read,
    with the plan of two: distinct rows rank contenders better than seen ones, and so does a rate that has not fallen to
    zero (DECISIONS.md, 2026-11-22).

    >>> kept, share = screening_form(Recipe(epochs=2, planned_epochs=3, keep_best_pass=True), 0.25)
    >>> kept.epochs, kept.planned_epochs, share
    (1, 2, 0.5)
    """
    if form.epochs == 1:
        return form, row_share
    first = dataclasses.replace(form, epochs=1, planned_epochs=2, keep_best_pass=False)
    return first, min(1.0, form.epochs * row_share)
