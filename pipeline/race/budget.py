"""What the parts of a race take: how long recipes are varied, how many generations and rows fit `--minutes`, and how
much is still to come.

Given `--minutes`, time is predicted: by what networks cost (pipeline/race/cost.py), and by the seconds that the race's
trainings so far took for what they cost. The seconds are the outcomes' own, so a race that was stopped decides as
before.
"""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean

from pipeline.race.contest import Contest, Request
from pipeline.race.cost import cost_of_a_row
from pipeline.race.entry import Entry
from pipeline.race.recipes import fitting_batch, screening_share
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import ModelKind

RECIPE_PASSES = 10
"""Passes after which the first recipes are varied further only for as long as that helps: a recipe moves results more
than most architectures do, and its contender is a cheap one."""
MOST_RECIPE_PASSES = 30
"""Passes after which they are not in any case."""
RECIPE_SHARE = 0.15
"""The first of these limits given `--minutes`, as a share of them; the second is to it as above."""
PROBE = "probe"
"""Round of the training that says how long things take."""
PROBE_ROWS = 50_000
"""Its rows, at most."""
LEAST_ROWS = 10_000
"""Rows of a pass that minutes leave at least."""
LEAST_SHARE = 0.1
"""Share of the training rows that they leave at least."""
ROUNDS = 4
"""Times that the rows are computed: fewer rows have smaller batches, which cost more a row."""


@dataclass(frozen=True)
class Work:
    """Trainings that are planned."""

    rows: float = 0.0
    """Rows that they train on."""
    cost: float = 0.0
    """What they take, in multiply-accumulates (pipeline/race/cost.py)."""

    def __add__(self, other: "Work") -> "Work":
        return Work(self.rows + other.rows, self.cost + other.cost)


def trainings(contest: Contest, entries: Iterable[Entry], recipe: Recipe, passes: float) -> Work:
    """So many passes over the race's rows by a network as costly as these are on the mean; none without any."""
    costs = [cost_of_a_row(contest.session, entry.architecture, recipe) for entry in entries]
    rows = passes * contest.rows_of_pass if costs else 0.0
    return Work(rows, rows * mean(costs) if costs else 0.0)


def fit_minutes(contest: Contest, entry: Entry, recipe: Recipe, short: Recipe) -> None:
    """Given `--minutes`, let a pass of the race have as many rows as a race with one generation and this recipe has the
    time for, which a training of `entry` on a part of the rows with the short recipe says.
    """
    if not contest.minutes:
        return
    share = min(contest.config.screening_share, PROBE_ROWS / contest.rows_of_pass)
    contest.train(PROBE, [Request(entry, fitting(contest, short), share)])
    if not contest.cost_used:
        return  # it failed
    whole = contest.rows_of_pass
    for _ in range(ROUNDS):
        recipe = fitting(contest, recipe)
        passes = trainings(contest, [entry], recipe, RECIPE_PASSES)
        search = passes + entrants(contest, recipe) + generation(contest, recipe)
        scaled = contest.wall_s((search + finals(contest, recipe)).cost) / contest.rows_of_pass
        left = 60 * contest.minutes - contest.wall_s(contest.cost_used + to_the_end(contest, recipe).cost)
        rows = math.ceil(max(left / scaled, LEAST_SHARE * whole))
        contest.rows_of_pass = min(max(rows, LEAST_ROWS), whole)


def fitting(contest: Contest, recipe: Recipe) -> Recipe:
    """The recipe with the batch that suits the rows of a pass."""
    size = fitting_batch(contest.config.recipe.batch_size, contest.rows_of_pass, contest.ranks_of_batch)
    return dataclasses.replace(recipe, batch_size=size)


def may_vary(contest: Contest, has_helped: bool) -> bool:
    """Whether the recipes are varied once more, after the last variations helped, or did not."""
    times = MOST_RECIPE_PASSES / RECIPE_PASSES if has_helped else 1.0
    if contest.minutes:
        return contest.wall_s(contest.cost_used) < times * RECIPE_SHARE * 60 * contest.minutes
    return contest.rows_used < times * RECIPE_PASSES * contest.rows_of_pass


def is_there_room(contest: Contest, recipe: Recipe, number: int) -> bool:
    """Whether that generation of children, from 1, is to be: there are as many as asked for, or as fit the minutes."""
    if not contest.minutes:
        return number <= contest.config.generations
    rest = generation(contest, recipe) + finals(contest, recipe) + to_the_end(contest, recipe)
    return contest.wall_s(contest.cost_used + rest.cost) <= 60 * contest.minutes


def expected_rows(contest: Contest, recipe: Recipe, generations_done: int | None = None) -> int:
    """Rows that the race will train on if this recipe stays, beside those that minutes leave room for; before the
    entrants are screened, without a number of generations."""
    rest = finals(contest, recipe)
    for _ in range(0 if contest.minutes else contest.config.generations - (generations_done or 0)):
        rest += generation(contest, recipe)
    rows = contest.rows_used + rest.rows
    if generations_done is None:
        rows += entrants(contest, recipe).rows
        rows += max(0, RECIPE_PASSES * contest.rows_of_pass - contest.rows_used)
    return round(rows)


def promotions(contest: Contest, screened: int) -> int:
    """How many of so many screened contenders are promoted at most."""
    return math.ceil(contest.config.promoted_share * screened)


def entrants(contest: Contest, recipe: Recipe) -> Work:
    """Screening all who take part, and training on all rows those that are promoted."""
    config = contest.config
    promoted = promotions(contest, len(contest.entries)) + config.handmade_finalists + 1
    return _screening(contest, contest.entries, recipe, len(contest.entries), promoted)


def generation(contest: Contest, recipe: Recipe) -> Work:
    """Screening a generation's children, and training on all rows those that are promoted."""
    count = contest.config.children
    return _screening(contest, _of(contest, "searched"), recipe, count, promotions(contest, count))


def _screening(contest: Contest, like: Iterable[Entry], recipe: Recipe, screened: int, promoted: int) -> Work:
    form = contest.search_form(recipe)
    share = screening_share(form, contest.config.screening_share)
    return trainings(contest, like, form, screened * share + promoted)


def finals(contest: Contest, recipe: Recipe) -> Work:
    """The finals, and the trials of the finalists' own."""
    config, trials = contest.config, contest.config.tuning_trials
    counts: dict[ModelKind, int] = {
        "searched": config.finalists + trials * min(config.finalists, config.retrained),
        "handmade": config.handmade_finalists + trials * min(config.handmade_finalists, config.retrained),
        "given": (1 + trials) * len(_of(contest, "given")),
    }
    return _whole(contest, recipe, counts, 1.0)


def to_the_end(contest: Contest, recipe: Recipe) -> Work:
    """The finalists' trainings to the end, after the race."""
    config, retrain = contest.config, contest.session.config.retrain
    train_rows = contest.session.dataset.rows("train")
    seeds = retrain.seeds - (contest.rows_of_pass == train_rows)  # then a finalist's best trial is its first seed
    each = min(config.handmade_finalists, config.retrained)
    counts: dict[ModelKind, int] = {
        "searched": config.retrained * seeds,
        "handmade": each * seeds,
        "given": len(_of(contest, "given")) * seeds,
    }
    return _whole(contest, recipe, counts, train_rows / contest.rows_of_pass)


def _whole(contest: Contest, recipe: Recipe, counts: dict[ModelKind, int], passes: float) -> Work:
    """Trainings with the whole recipe, so many of each kind."""
    work = Work()
    for kind, count in counts.items():
        work += trainings(contest, _of(contest, kind), recipe, count * passes * recipe.epochs)
    return work


def _of(contest: Contest, kind: ModelKind) -> list[Entry]:
    return [entry for entry in contest.entries if entry.kind == kind]
