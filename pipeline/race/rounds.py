"""The rounds of a race: first recipes, screening of all, generations of children, then recipes of the finalists' own.

New contenders are trained on a share of a pass's rows, and on all of them if they are among the best screened
(successive halving); the last few are trained with the whole recipe, and the best of these, searched and hand-made,
get as many further trials: recipes of their own, or larger networks where a hand-made one leads.
"""

import dataclasses
from collections.abc import Sequence

from pipeline.race.budget import PROBE, expected_rows, fit_minutes, fitting, is_there_room, may_vary, promotions
from pipeline.race.contest import Contest, Request
from pipeline.race.entry import Entry, loss
from pipeline.race.proposals import children, grown, reference
from pipeline.race.recipes import (
    changed,
    first_recipes,
    next_steps,
    screening_share,
    variations,
    with_other_numbers,
    with_width,
)
from pipeline.run.records.race import Finalist, Trial
from pipeline.run.records.recipe import WIDTH_STEP, Recipe
from pipeline.training.table_widths import widths_by_size

LEAST_GAIN = 0.002
"""Share of the log loss by which a varied recipe must be better to replace the best one: less is a seed's luck, and the
recipe is for contenders that differ more from the one that tries it."""
VARIED = 2
"""Variations of the best recipe that are tried at a time."""


def find_recipe(contest: Contest) -> Recipe:
    """The recipe that the race goes on with: the best of the first ones and of its neighbours, for one contender."""
    entry = reference(contest)
    model, has_numbers = contest.session.config.model, contest.has_numbers
    recipes = first_recipes(contest.config, model.embedding_width, model.numbers)
    fit_minutes(contest, entry, recipes[0], recipes[-1])
    recipes = [fitting(contest, recipe) for recipe in recipes]
    if has_numbers:
        recipes.append(with_other_numbers(min(recipes, key=lambda own: own.epochs)))
    contest.expect(expected_rows(contest, recipes[0]))
    trials = contest.train("recipes 1", [Request(entry, recipe) for recipe in recipes])
    best, first = _with_best_numbers(trials) if has_numbers else (_best(trials), [])
    number = 2
    while may_vary(contest, has_helped=bool(first)):
        contest.expect(expected_rows(contest, best.recipe))
        tried = {trial.recipe for trial in entry.trials}
        wanted = dict.fromkeys([*first, *variations(best.recipe, contest.config, has_numbers)])
        untried = [recipe for recipe in wanted if recipe not in tried][:VARIED]
        if not untried:
            break
        trials = contest.train(f"recipes {number}", [Request(entry, recipe) for recipe in untried])
        better = [trial for trial in trials if loss(trial) < (1 - LEAST_GAIN) * loss(best)]
        helped = [trial.recipe for trial in sorted(better, key=loss)]
        first = next_steps(best.recipe, helped, contest.config, has_numbers)
        best = _best([best, *better])
        number += 1
    return _with_fitting_tables(contest, entry, best.recipe)


def _with_best_numbers(trials: list[Trial]) -> tuple[Trial, list[Recipe]]:
    """The best of the first trials, of which the last has the other numbers and else the recipe of one before it; and
    what to try next: the best recipe with those numbers, if they were better by more than a seed's luck."""
    *others, last = trials
    best = _best(others)
    alike = [trial for trial in others if changed(trial.recipe, last.recipe) == {"numbers"}]
    if not any(loss(last) < (1 - LEAST_GAIN) * loss(trial) for trial in alike):
        return best, []
    if best in alike:
        return last, []
    return best, [dataclasses.replace(best.recipe, numbers=last.recipe.numbers)]


def _with_fitting_tables(contest: Contest, entry: Entry, recipe: Recipe) -> Recipe:
    """The best recipe within race.max_table_mb, where the tables of the one found are larger.

    Three are compared, with the contender that tried the recipes: a narrower D for all tables, and two rules for a
    width of each table's own. Which is the best differs from log to log, more than from network to network.
    """
    if contest.fits(recipe):
        return recipe
    limit, sizes = contest.config.max_table_mb, contest.session.dataset.schema.table_sizes
    (measured,) = contest.train("table widths", [Request(entry, recipe, max_table_mb=limit)])
    if not measured.table_widths:
        raise ValueError(f"the training that finds the tables' widths failed ({measured.failure}); lower the rates")
    own = (measured.table_widths, widths_by_size(sizes, recipe.embedding_width, 1e6 * limit))
    narrower = [with_width(recipe, width) for width in range(recipe.embedding_width, 0, -WIDTH_STEP)]
    wanted = [dataclasses.replace(recipe, table_widths=widths) for widths in own]
    wanted += [alike for alike in narrower if contest.fits(alike)][:1]
    _train_with(contest, "tables within the limit", entry, wanted)
    best = entry.best([trial for trial in entry.trials if trial.is_whole and contest.fits(trial.recipe)])
    if best is None:
        failures = [trial.failure for trial in entry.trials if trial.failure]
        raise ValueError(f"every training with tables of {limit:g} MB failed ({failures[-1]}); lower the rates")
    return best.recipe


def _best(trials: list[Trial]) -> Trial:
    return min(trials, key=lambda trial: (loss(trial), trial.index))


def screen_entrants(contest: Contest, recipe: Recipe) -> None:
    """Train everyone on a share of the rows, and on all of them the best, some of each kind, and what was given."""
    short, config = contest.search_form(recipe), contest.config
    screened = _screen(contest, "entrants", contest.entries, short)
    promoted = _promoted(contest, screened, short)
    ranked = [entry for _, entry in contest.ranked(screened)]
    if config.handmade_finalists:  # and one more: few rows rank models of different sizes badly
        promoted += [entry for entry in ranked if entry.kind == "handmade"][: config.handmade_finalists + 1]
    promoted += [entry for entry in ranked if entry.kind == "searched"][: config.finalists]
    promoted += [entry for entry in ranked if entry.kind == "given"]
    _train_whole(contest, "promotion", list(dict.fromkeys(promoted)), short)


def _screen(contest: Contest, round_name: str, entries: Sequence[Entry], form: Recipe) -> list[Trial]:
    """Train new contenders on part of the rows."""
    share = screening_share(form, contest.config.screening_share)
    return contest.train(round_name, [Request(entry, form, share) for entry in entries])


def _promoted(contest: Contest, screened: list[Trial], form: Recipe) -> list[Entry]:
    """The best share of those just screened, as far as they are among the best share of all screened so far."""
    everyone = contest.ranked(_screened(contest, form))
    new = {trial.index for trial in screened}
    good = [entry for trial, entry in everyone[: promotions(contest, len(everyone))] if trial.index in new]
    return good[: promotions(contest, len(screened))]


def _screened(contest: Contest, form: Recipe) -> list[Trial]:
    """The trainings on part of the rows that compare with one another."""
    share = screening_share(form, contest.config.screening_share)
    compared = [trial for trial in contest.trials if trial.round != PROBE]
    return [trial for trial in compared if (trial.recipe, trial.row_share) == (form, share)]


def _train_whole(
    contest: Contest, round_name: str, entries: list[Entry], recipe: Recipe, is_kept: bool = False
) -> None:
    """Train those on whole passes that were not yet, with this recipe."""
    wanted = [entry for entry in entries if not any(_is(trial, recipe) for trial in entry.trials)]
    contest.train(round_name, [Request(entry, recipe, is_kept=is_kept) for entry in wanted])


def _train_with(contest: Contest, round_name: str, entry: Entry, recipes: Sequence[Recipe]) -> None:
    """Train it on whole passes with those of the recipes that it has not had."""
    tried = {trial.recipe for trial in entry.trials if trial.is_whole}
    contest.train(round_name, [Request(entry, recipe) for recipe in dict.fromkeys(recipes) if recipe not in tried])


def _is(trial: Trial, recipe: Recipe) -> bool:
    return trial.is_whole and trial.recipe == recipe


def run_generations(contest: Contest, recipe: Recipe) -> None:
    """Children of the leaders, screened and promoted: as many generations as asked for, or as the minutes allow."""
    short, number = contest.search_form(recipe), 1
    while is_there_room(contest, recipe, number):
        contest.expect(expected_rows(contest, recipe, number - 1))
        born = children(contest, contest.trained_alike(short), _screened(contest, short))
        if not born:
            break  # the space is used up
        screened = _screen(contest, f"generation {number}", born, short)
        _train_whole(contest, f"promotion {number}", _promoted(contest, screened, short), short)
        number += 1


def run_finals(contest: Contest, recipe: Recipe) -> tuple[Finalist, ...]:
    """The finalists with the race's recipe, then the best of each kind with as many trials of their own, best first.

    A trial is a variation of the recipe; for a searched contender that a hand-made one leads, a larger network.
    """
    config = contest.config
    alike = contest.trained_alike(contest.search_form(recipe))
    finalists = _leaders(contest, alike, config.finalists, config.handmade_finalists)
    _train_whole(contest, "finals", finalists, recipe, is_kept=True)
    last = _leaders(contest, _whole(contest, finalists), config.retrained, config.retrained)
    everyone = list(last)
    for number in range(1, config.tuning_trials + 1):
        requests = [one for entry in last for one in _trial(contest, entry, last)]
        contest.train(f"tuning {number}", requests)
        everyone += [one.entry for one in requests if one.entry not in everyone]
        last = _leaders(contest, _whole(contest, everyone), config.retrained, config.retrained)
    return tuple(entry.finalist(_whole(contest, [entry])) for entry in last)


def _trial(contest: Contest, entry: Entry, finalists: list[Entry]) -> list[Request]:
    """A finalist's next trial: a variation of its recipe; or, for the best searched one while a hand-made one leads, a
    larger network with the leader's recipe, since what suits a large network is a large one's to say."""
    ranked = contest.ranked(_whole(contest, finalists))
    (trial, leader), best = ranked[0], next((own for _, own in ranked if own.kind == "searched"), None)
    if entry is best and leader.kind == "handmade" and (larger := grown(contest, entry, leader)):
        return [Request(larger, trial.recipe, is_kept=True)]
    return _variation(contest, entry)


def _whole(contest: Contest, entries: list[Entry]) -> list[Trial]:
    """Their trials on whole passes, with tables within the limit."""
    return [trial for entry in entries for trial in entry.trials if trial.is_whole and contest.fits(trial.recipe)]


def _variation(contest: Contest, entry: Entry) -> list[Request]:
    """The next variation of the contender's best recipe that it has not tried, if there is one."""
    best = entry.best(_whole(contest, [entry]))
    assert best is not None, "it was chosen by its whole trainings"
    tried = {trial.recipe for trial in _whole(contest, [entry])}
    others = variations(best.recipe, contest.config, contest.has_numbers)
    untried = (own for own in others if own not in tried and contest.fits(own))
    return [Request(entry, own, is_kept=True) for own in untried][:1]


def _leaders(contest: Contest, trials: list[Trial], searched: int, by_hand: int) -> list[Entry]:
    """Those whose trials, of the ones given, are the best: so many searched and hand-made ones, and all given ones."""
    ranked = [entry for _, entry in contest.ranked(trials)]
    kinds = {kind: [entry for entry in ranked if entry.kind == kind] for kind in ("searched", "given", "handmade")}
    return [*kinds["searched"][:searched], *kinds["given"], *kinds["handmade"][:by_hand]]
