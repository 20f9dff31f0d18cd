"""The recipes of the race: where every contender starts, what is varied, and the short form for screening.

Rows of a table that start with a prior of κ occurrences learn best with a table rate that grows with √κ: the two move
together (modules/table_prior.py; DECISIONS.md, 2026-11-21).
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

from pipeline.race.config import RaceConfig
from pipeline.run.records.recipe import Numbers, Recipe

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


def first_recipes(config: RaceConfig, embedding_width: int, numbers: Numbers = "standardized") -> list[Recipe]:
    """The recipes that the race compares first: on the tuned track the ways to live through several passes.

    One pass; three passes with tables drawn anew for each (MEDA, arXiv:2407.01607); two of three planned passes with
    tables kept. On the one_pass track one pass with several priors.
    """
    one = Recipe(**config.recipe.values(), embedding_width=embedding_width, numbers=numbers)
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


def with_width(recipe: Recipe, width: int) -> Recipe:
    """The recipe with another D. Tables that have widths of their own keep them, as far as they are within D.

    >>> with_width(Recipe(embedding_width=32, table_widths=(4, 24)), 16).table_widths
    (4, 16)
    """
    widths = tuple(min(own, width) for own in recipe.table_widths)
    return dataclasses.replace(recipe, embedding_width=width, table_widths=widths)


def with_other_numbers(recipe: Recipe) -> Recipe:
    """The recipe with the other of the two things that networks read in the place of numeric columns.

    >>> with_other_numbers(Recipe()).numbers
    'piecewise'
    """
    return dataclasses.replace(recipe, numbers="standardized" if recipe.numbers == "piecewise" else "piecewise")


def next_steps(recipe: Recipe, better: Sequence[Recipe], config: RaceConfig, has_numbers: bool) -> list[Recipe]:
    """Recipes to try first after variations of `recipe` were better than it (best first): all of their changes at once,
    and the best one's again. `has_numbers`: as of `variations`.

    >>> wide, long = Recipe(embedding_width=32), Recipe(epochs=2, planned_epochs=2)
    >>> both, wider = next_steps(Recipe(embedding_width=16), [wide, long], RaceConfig(), False)[:2]
    >>> (both.embedding_width, both.epochs), (wider.embedding_width, wider.epochs)
    ((32, 2), (64, 1))
    """
    if not better:
        return []
    joined = recipe
    for other in reversed(better):  # the best one's changes last, where they contradict
        joined = dataclasses.replace(joined, **{name: getattr(other, name) for name in changed(recipe, other)})
    helped, nearby = changed(recipe, better[0]), variations(better[0], config, has_numbers)
    return [joined, *(other for other in nearby if changed(better[0], other) == helped)]


def changed(recipe: Recipe, other: Recipe) -> frozenset[str]:
    """The fields in which two recipes differ.

    >>> sorted(changed(Recipe(), with_prior(Recipe(table_prior_count=8.0), 8.0)))
    ['table_prior_count']
    """
    return frozenset(
        field.name for field in dataclasses.fields(recipe) if getattr(recipe, field.name) != getattr(other, field.name)
    )


def variations(recipe: Recipe, config: RaceConfig, has_numbers: bool) -> Iterator[Recipe]:
    """Recipes one step away, those first that move results most on the logs that were tried (DECISIONS.md).
    `has_numbers`: whether the log has numeric columns."""
    wider = [width for width in WIDTHS if width > recipe.embedding_width]
    narrower = [width for width in WIDTHS if width < recipe.embedding_width]
    is_cheap = recipe.embedding_width < CHEAP_WIDTH
    if wider and is_cheap:
        yield with_width(recipe, wider[0])
    if recipe.planned_epochs > recipe.epochs:
        yield dataclasses.replace(recipe, epochs=recipe.epochs + 1, planned_epochs=recipe.planned_epochs + 1)
    yield with_prior(recipe, recipe.table_prior_count / 4)
    yield dataclasses.replace(recipe, learning_rate=recipe.learning_rate / 2)
    yield dataclasses.replace(recipe, learning_rate=recipe.learning_rate * 2)
    yield with_prior(recipe, recipe.table_prior_count * 4)
    if wider and not is_cheap:
        yield with_width(recipe, wider[0])
    if config.track == "tuned":
        yield from (
            dataclasses.replace(
                other,
                batch_size=recipe.batch_size,
                learning_rate=recipe.learning_rate,
                table_widths=recipe.table_widths,
            )
            for other in first_recipes(config, recipe.embedding_width, recipe.numbers)
            if (other.epochs, other.tables) != (recipe.epochs, recipe.tables)
        )
    if has_numbers:
        yield with_other_numbers(recipe)
    if narrower:
        yield with_width(recipe, narrower[-1])


def search_form(recipe: Recipe, embedding_width: int) -> Recipe:
    """The recipe with which many contenders are compared: no wider than where the race starts, since width costs the
    most and is tuned at the end (all tables as wide), and one pass. Where tables are kept for several passes it is the
    first one of two planned, at whose end the rate has not fallen to zero: that ranks contenders as all passes do
    (DECISIONS.md, 2026-11-22)."""
    width = min(embedding_width, recipe.embedding_width)
    narrow = dataclasses.replace(recipe, embedding_width=width, table_widths=())
    if recipe.epochs == 1:
        return narrow
    return dataclasses.replace(
        narrow,
        epochs=1,
        planned_epochs=2 if recipe.tables == "kept" else 0,
        keep_best_pass=False,
        tables="kept",
        table_schedule="as_dense",
    )


def screening_share(form: Recipe, row_share: float) -> float:
    """Share of the rows on which new contenders are screened. It is twice `row_share` where the log wants kept tables
    for several passes: there a contender is told by what its embeddings have learnt, which takes more rows.

    >>> screening_share(Recipe(), 0.25), screening_share(Recipe(planned_epochs=2), 0.25)
    (0.25, 0.5)
    """
    return min(1.0, row_share * max(form.planned_epochs, 1))
