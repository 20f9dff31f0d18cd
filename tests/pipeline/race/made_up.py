"""Races whose trainings are made up, for tests of what is decided on outcomes."""

import dataclasses
from collections.abc import Callable

import numpy
import pytest

from modules.space import canonical
from pipeline.race import contest as contest_file
from pipeline.race.contest import Contest
from pipeline.race.proposals import enter_all
from pipeline.race.rounds import find_recipe, run_finals, run_generations, screen_entrants
from pipeline.race.trial_training import Job, Outcome
from pipeline.run.records.race import Finalist
from pipeline.run.records.recipe import Recipe
from pipeline.session import Session

Losses = Callable[[Job], float | None]


def made_up(job: Job) -> float | None:
    """A log loss that follows from the network and the recipe: wide embeddings are good, so are fresh tables; every
    seventh network fails."""
    network = numpy.frombuffer(repr(canonical(job.architecture)).encode(), numpy.uint8).astype(numpy.uint64)
    luck = int((network * numpy.arange(1, 1 + len(network), dtype=numpy.uint64)).sum() % numpy.uint64(1000))
    if luck % 7 == 0:
        return None
    recipe = job.recipe
    return 0.5 + luck / 1e5 - 0.01 * (recipe.tables == "fresh") - 0.001 * min(recipe.embedding_width, 16)


def no_time(_: Job) -> float:
    """Seconds of a training that takes none."""
    return 0.0


def held(
    session: Session, monkeypatch: pytest.MonkeyPatch, losses: Losses = made_up, row_s: Callable[[Job], float] = no_time
) -> Contest:
    """A contest whose trainings are made up. `row_s`: seconds that a job takes a row."""

    def train_all(
        _: object, __: object, jobs: list[Job], progress: Callable[[Outcome], None], ___: object
    ) -> list[Outcome]:
        narrow = (4,) * session.dataset.schema.num_categories
        found = [
            Outcome(
                job,
                losses(job),
                "" if losses(job) else "bad",
                rows_of(job),
                rows_of(job) * row_s(job),
                rows_of(job) * row_s(job),
                narrow if job.max_table_mb else (),
            )
            for job in jobs
        ]
        for outcome in found:
            progress(outcome)
        return found

    def rows_of(job: Job) -> int:
        failed = losses(job) is None
        return 0 if failed else int(job.row_share * job.recipe.epochs * session.dataset.rows("train"))

    monkeypatch.setattr(contest_file, "train_all", train_all)
    return Contest(session, None)  # type: ignore[arg-type]


def with_race(session: Session, **changes: object) -> Session:
    """The session with other settings of the race."""
    race = dataclasses.replace(session.config.race, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(session, config=dataclasses.replace(session.config, race=race))


def play(contest: Contest) -> tuple[Recipe, tuple[Finalist, ...]]:
    """All rounds."""
    enter_all(contest, None)
    recipe = find_recipe(contest)
    screen_entrants(contest, recipe)
    run_generations(contest, recipe)
    return recipe, run_finals(contest, recipe)
