"""The race as a stage of a run: the search's winners in, race.jsonl and race.json with the finalists out."""

import dataclasses
import shutil
from collections.abc import Sequence

from pipeline.race.contest import Contest
from pipeline.race.proposals import enter_all
from pipeline.race.rounds import find_recipe, run_finals, run_generations, screen_entrants
from pipeline.run.folder import RunFolder
from pipeline.run.records.candidates import Winners
from pipeline.run.records.codec import read_lines, write_lines
from pipeline.run.records.progress import MetricsLine
from pipeline.run.records.race import Finalist, RaceResult, Trial
from pipeline.run.records.results import FINALS, finals_stage, retrain_stage
from pipeline.session import Session
from pipeline.training.workers import Workers, workers
from pipeline.warm_start import without_race


def race(session: Session, team: Workers | None = None) -> RaceResult:
    """Run the race to its end and write the finalists; if that is done, only read them. `team`: workers to share."""
    path = session.folder.race
    if not session.exists(path):
        if session.config.warm_start:
            rows, trials = session.dataset.rows("train"), list[Trial]()
            found = session.processes.on_first(lambda: without_race(session.config, rows))
        else:
            found, trials = _race(session, team)
        session.processes.on_first(lambda: write_lines(session.folder.race_trials, trials))
        session.write(path, found)
    found = session.read(path, RaceResult)
    session.processes.on_first(lambda: _clear(session.folder, found.finalists))
    if session.config.warm_start:
        session.say(f"race       none: {found.finalists[0].name} is {found.finalists[0].origin}")
        return found
    is_part = found.rows_of_pass < session.dataset.rows("train")
    part = f", {found.rows_of_pass:,} of the training rows a pass" if is_part else ""
    session.say(
        f"race       {found.trials} trainings from scratch, {found.rows / 1e6:.1f} M rows{part}; {found.failed} failed"
    )
    for finalist in found.finalists:
        session.say(line(finalist))
    return found


def _clear(folder: RunFolder, finalists: Sequence[Finalist]) -> None:
    """Make each finalist's best trial its first training to the end, where its weights were kept; remove the rest."""
    for finalist in finalists:
        kept, stage = folder.checkpoints(finals_stage(finalist.trial)), retrain_stage(finalist.kind, finalist.name, 0)
        if kept.is_dir() and not folder.checkpoints(stage).exists():
            path = kept / folder.metrics(stage).name
            lines = [dataclasses.replace(one, stage=stage) for _, one in read_lines(path, MetricsLine)]
            write_lines(path, lines)
            folder.checkpoints(stage).parent.mkdir(parents=True, exist_ok=True)
            kept.rename(folder.checkpoints(stage))
    shutil.rmtree(folder.checkpoints(FINALS), ignore_errors=True)
    shutil.rmtree(folder.race_outcomes, ignore_errors=True)


def line(finalist: Finalist) -> str:
    """A finalist as a line for the terminal."""
    return (
        f"race       {finalist.name:<18} validation log loss {finalist.valid_log_loss:.4f} after {finalist.trials} "
        f"trials  {finalist.recipe.in_words()}  ({finalist.origin})"
    )


def _race(session: Session, team: Workers | None) -> tuple[RaceResult, list[Trial]]:
    wants = session.config.race.wants_supernet(session.dataset.rows("train")) or session.exists(session.folder.winners)
    winners = session.read(session.folder.winners, Winners) if wants else None
    with workers(session, team) as own:
        contest = Contest(session, own)
        enter_all(contest, winners)
        recipe = find_recipe(contest)
        screen_entrants(contest, recipe)
        run_generations(contest, recipe)
        finalists = run_finals(contest, recipe)
        contest.close()
    if not finalists:
        failures = [trial.failure for trial in contest.trials if trial.failure]
        raise ValueError(f"no contender of the race could be trained ({failures[-1]}); lower the learning rates")
    result = RaceResult(
        track=session.config.race.track,
        space=session.space.name,
        rows_of_pass=contest.rows_of_pass,
        rows=contest.rows_used,
        trials=len(contest.trials),
        failed=sum(trial.valid_log_loss is None for trial in contest.trials),
        finalists=finalists,
    )
    return result, contest.trials
