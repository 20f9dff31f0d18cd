"""Rows that the parts of a race train on: how many generations fit `--minutes`, and how much is still to come."""

import math

from pipeline.race.contest import Contest
from pipeline.race.recipes import screening_share
from pipeline.run.records.recipe import Recipe

RECIPE_PASSES = 10
"""Passes after which the first recipes are varied further only for as long as that helps: a recipe moves results more
than most architectures do, and its contender is a cheap one."""
MOST_RECIPE_PASSES = 30
"""Passes after which they are not in any case."""
RECIPE_SHARE = 0.15
"""The first of these limits given `--minutes`, as a share of that budget; the second is to it as above."""


def recipe_rows(contest: Contest, has_helped: bool) -> float:
    """Rows after which the first recipes are varied no further, if the last variations helped, or did not."""
    least = RECIPE_SHARE * contest.budget_rows or RECIPE_PASSES * contest.rows_of_pass
    return least * MOST_RECIPE_PASSES / RECIPE_PASSES if has_helped else least


def promotions(contest: Contest, screened: int) -> int:
    """How many of so many screened contenders are promoted at most."""
    return math.ceil(contest.config.promoted_share * screened)


def screening_rows(contest: Contest, form: Recipe, contenders: int) -> int:
    """Rows that it takes at most to screen so many contenders and to train on all rows those that are promoted."""
    share = screening_share(form, contest.config.screening_share)
    return math.ceil((contenders * share + promotions(contest, contenders)) * contest.rows_of_pass)


def finals_rows(contest: Contest, recipe: Recipe) -> int:
    """Rows that the finals will take."""
    config, given = contest.config, len(contest.session.config.retrain.architectures)
    trainings = config.finalists + config.handmade_finalists + given + _tuned(contest) * config.tuning_trials
    return recipe.epochs * trainings * contest.rows_of_pass


def rows_to_the_end(contest: Contest, recipe: Recipe) -> int:
    """Rows that the finalists' trainings to the end will take after the race."""
    config, retrain = contest.config, contest.session.config.retrain
    train_rows = contest.session.dataset.rows("train")
    seeds = retrain.seeds - (contest.rows_of_pass == train_rows)  # then a finalist's best trial is its first seed
    return recipe.epochs * (2 * config.retrained + len(retrain.architectures)) * seeds * train_rows


def _tuned(contest: Contest) -> int:
    """Finalists that try recipes of their own."""
    config, given = contest.config, len(contest.session.config.retrain.architectures)
    return min(config.finalists, config.retrained) + min(config.handmade_finalists, config.retrained) + given


def is_there_room(contest: Contest, recipe: Recipe, generation: int) -> bool:
    """Whether that generation of children, from 1, is to be: there are as many as asked for, or as fit the minutes."""
    if not contest.budget_rows:
        return generation <= contest.config.generations
    children = screening_rows(contest, contest.search_form(recipe), contest.config.children)
    reserved = finals_rows(contest, recipe) + rows_to_the_end(contest, recipe)
    return contest.rows_used + children + reserved <= contest.budget_rows


def expected_rows(contest: Contest, recipe: Recipe, generations_done: int | None = None) -> int:
    """Rows that the whole race will train on if this recipe stays; before its entrants are screened, without a number
    of generations."""
    if contest.budget_rows:
        return contest.budget_rows - rows_to_the_end(contest, recipe)
    config, form = contest.config, contest.search_form(recipe)
    left = config.generations - (generations_done or 0)
    rows = left * screening_rows(contest, form, config.children) + finals_rows(contest, recipe)
    if generations_done is not None:
        return contest.rows_used + rows
    entrants = 2 * len(config.handmade) + config.random + config.from_supernet  # hand-made ones also made narrower
    recipes = max(contest.rows_used, recipe_rows(contest, has_helped=False))
    return rows + screening_rows(contest, form, entrants) + math.ceil(recipes)
