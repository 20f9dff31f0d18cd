"""Outcomes of the race's trainings as files: a race that was stopped reads them, and trains only what is missing."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.race.cost import training_cost
from pipeline.race.trial_training import Job, Outcome, run_job
from pipeline.run.records.codec import read_record, to_plain
from pipeline.session import Session
from pipeline.training.workers import Workers


def train_all(
    session: Session, team: Workers, jobs: Sequence[Job], progress: Callable[[Outcome], None], folder: Path
) -> list[Outcome]:
    """The outcomes of the jobs, in their order, the same on every rank. The longest trainings start first.

    Each outcome is a file of `folder` as soon as there is one.
    """
    processes = session.processes
    missing = processes.on_first(lambda: [_found(session, folder, job) is None for job in jobs])
    waiting = [job for job, is_missing in zip(jobs, missing, strict=True) if is_missing]
    train = functools.partial(train_and_keep, folder=folder)
    team.each(train, sorted(waiting, key=functools.partial(_cost, session), reverse=True), progress)
    found = processes.on_first(lambda: [_found(session, folder, job) for job in jobs])
    assert all(outcome is not None for outcome in found)
    return [outcome for outcome in found if outcome is not None]


def train_and_keep(session: Session, job: Job, folder: Path) -> Outcome:
    """Train one job and write its outcome."""
    outcome, path = run_job(session, job), _path(folder, job)
    folder.mkdir(exist_ok=True)
    session.write(path, outcome)
    return outcome


def _path(folder: Path, job: Job) -> Path:
    return folder / f"trial_{job.index:05d}.json"


def _found(session: Session, folder: Path, job: Job) -> Outcome | None:
    """The job's outcome on the disk; one of another job (of an earlier version of this program) does not count."""
    path = _path(folder, job)
    if not path.exists():
        return None
    outcome = read_record(path, Outcome, session.space)
    return outcome if to_plain(outcome.job) == to_plain(job) else None


def _cost(session: Session, job: Job) -> float:
    return training_cost(session, job.architecture, job.recipe, job.row_share)
