"""pipeline/race/budget.py: how long a race searches, and that it ends within its minutes."""

import dataclasses

import pytest

from pipeline.race.budget import (
    MOST_RECIPE_PASSES,
    PROBE,
    RECIPE_PASSES,
    expected_rows,
    finals,
    generation,
    to_the_end,
    trainings,
)
from pipeline.race.contest import BUSY_SHARE, Contest
from pipeline.race.cost import cost_of_a_row
from pipeline.race.proposals import enter_all
from pipeline.race.rounds import find_recipe
from pipeline.race.trial_training import Job
from pipeline.session import Session
from tests.pipeline.race.made_up import held, play, with_race

COST_A_SECOND = 3e8
"""What a made-up worker trains in a second."""


def timed(session: Session, monkeypatch: pytest.MonkeyPatch, minutes: float) -> Contest:
    """A contest of one worker whose trainings take what networks cost, with a budget of minutes."""
    config = dataclasses.replace(session.config, minutes=minutes)
    own = dataclasses.replace(session, config=config)
    return held(own, monkeypatch, row_s=lambda job: cost_of_a_row(own, job.architecture, job.recipe) / COST_A_SECOND)


@pytest.fixture
def long(session: Session) -> Session:
    """A session with several generations."""
    return with_race(session, generations=3, children=4)


@pytest.mark.parametrize("generations", [0, 3])
def test_as_many_generations_as_asked_for(long: Session, monkeypatch: pytest.MonkeyPatch, generations: int) -> None:
    """Without --minutes there are race.generations generations, however many passes the recipe takes."""
    contest = held(with_race(long, generations=generations), monkeypatch)
    play(contest)
    rounds = {trial.round for trial in contest.trials if trial.round.startswith("generation")}
    assert rounds == {f"generation {number}" for number in range(1, generations + 1)}
    assert not any(trial.round == PROBE for trial in contest.trials)


def test_the_minutes_hold(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --minutes the race and the trainings to the end take about as long where they have the time for more than a
    generation: most of it is used, and it is not overdrawn but for what single networks cost beside their mean."""
    minutes = 9.0
    contest = timed(long, monkeypatch, minutes)
    finalists = play(contest)[1]
    rows = long.dataset.rows("train")
    assert contest.rows_of_pass == rows
    last = [
        cost_of_a_row(contest.session, one.architecture, one.recipe) * one.recipe.epochs * rows for one in finalists
    ]
    needed = contest.seconds_used + (long.config.retrain.seeds - 1) * sum(last) / COST_A_SECOND
    assert 0.8 * minutes < needed / BUSY_SHARE / 60 < 1.15 * minutes
    assert any(trial.round == "generation 2" for trial in contest.trials)


def test_few_minutes_shorten_the_passes(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the time is too short for a race on all rows, its passes have fewer, but some share of them in any case."""
    monkeypatch.setattr("pipeline.race.budget.LEAST_ROWS", 10)
    rows = long.dataset.rows("train")
    contest, least = timed(long, monkeypatch, 2.0), timed(long, monkeypatch, 0.001)
    for own in (contest, least):
        enter_all(own, None)
        find_recipe(own)
    assert 0.1 * rows < contest.rows_of_pass < rows and least.rows_of_pass == -(-rows // 10)
    assert [trial.round for trial in contest.trials].count(PROBE) == 1
    later = [trial for trial in contest.trials if trial.round != PROBE]
    assert all(trial.rows <= trial.recipe.epochs * contest.rows_of_pass for trial in later)


def test_the_same_minutes_when_resumed(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is the outcomes' own: played again with the same outcomes the race decides as before."""
    first, again = (timed(long, monkeypatch, 3.0) for _ in range(2))
    assert play(first) == play(again)
    assert first.trials == again.trials and first.rows_of_pass == again.rows_of_pass


def test_a_race_of_failures_ends(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all trainings fail nobody knows what time they take, and no generation is begun."""
    config = dataclasses.replace(long.config, minutes=5.0)
    contest = held(dataclasses.replace(long, config=config), monkeypatch, lambda _: None, lambda _: 1.0)
    assert play(contest)[1] == ()
    assert not any(trial.round.startswith("generation") for trial in contest.trials)


@pytest.mark.parametrize("helps", [False, True])
def test_recipes_are_varied_while_it_helps(long: Session, monkeypatch: pytest.MonkeyPatch, helps: bool) -> None:
    """Variations end soon where they do not help, and go on for longer, though not for ever, where they do."""

    def losses(job: Job) -> float:
        return 0.5 * (0.9**job.index if helps else 1.0)

    contest = held(long, monkeypatch, losses)
    find_recipe(contest)
    limit = (MOST_RECIPE_PASSES if helps else RECIPE_PASSES) * contest.rows_of_pass
    last = max(int(trial.round.split()[1]) for trial in contest.trials)
    before = sum(trial.rows for trial in contest.trials if trial.round != f"recipes {last}")
    assert before < limit <= contest.rows_used


def test_what_is_still_to_come(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned rows are those of the finals and of the trainings to the end, which are on all rows of the log, with the
    first seed's training done in the finals unless these have fewer rows."""
    contest = held(session, monkeypatch)
    enter_all(contest, None)
    recipe = dataclasses.replace(find_recipe(contest), epochs=3)
    rows, race = session.dataset.rows("train"), session.config.race
    last = (race.finalists + race.handmade_finalists + 2 * race.tuning_trials) * 3 * rows
    seeds = session.config.retrain.seeds
    assert finals(contest, recipe).rows == last
    assert to_the_end(contest, recipe).rows == 2 * (seeds - 1) * 3 * rows
    assert expected_rows(contest, recipe, race.generations) == contest.rows_used + last
    expected = contest.rows_used + last + generation(contest, recipe).rows
    assert expected_rows(contest, recipe, race.generations - 1) == pytest.approx(expected, abs=1)
    contest.rows_of_pass //= 2
    assert finals(contest, recipe).rows == pytest.approx(last / 2, abs=last / rows)
    assert to_the_end(contest, recipe).rows == pytest.approx(2 * seeds * 3 * rows)


def test_a_training_of_the_mean_network(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planned training costs what the mean of the networks that it may be of costs; none, without any."""
    contest = held(session, monkeypatch)
    enter_all(contest, None)
    recipe = find_recipe(contest)
    pair = contest.entries[:2]
    costs = [cost_of_a_row(session, one.architecture, recipe) for one in pair]
    work = trainings(contest, pair, recipe, 2.0)
    assert work.rows == 2 * contest.rows_of_pass and work.cost == pytest.approx(sum(costs) * contest.rows_of_pass)
    assert trainings(contest, [], recipe, 2.0).rows == 0
