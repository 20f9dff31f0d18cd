"""pipeline/race/stage.py: the race as a stage, stopped and resumed, apart and together."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy
import pytest

from modules.space import single_operator_any_connection
from pipeline.race import outcomes
from pipeline.race.stage import race
from pipeline.run.files import write_json
from pipeline.run.processes import cpu_threads
from pipeline.run.records.candidates import Candidate, Winners
from pipeline.run.records.codec import RUN_FORMAT, read_lines, read_record
from pipeline.run.records.progress import MetricsLine
from pipeline.run.records.race import RaceResult, Trial
from pipeline.run.records.results import FINALS, SplitMetrics, retrain_stage
from pipeline.session import Session
from pipeline.training.stage import is_trained
from pipeline.training.workers import Workers


class HereWorkers(Workers):
    """Trains in this process, on one thread as worker processes do: no other has to be started."""

    def _apart(self, function, items, done):
        with cpu_threads(1):
            for item in items:
                done(function(self._session, item))


def files(session: Session) -> tuple[bytes, bytes]:
    """What the race leaves."""
    return session.folder.race.read_bytes(), session.folder.race_trials.read_bytes()


def remove(session: Session) -> None:
    """As if it had not been run."""
    session.folder.race.unlink()
    session.folder.race_trials.unlink()
    shutil.rmtree(session.folder.checkpoints("retrain"), ignore_errors=True)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folder as an undisturbed race left it, from the first test on that needs it."""
    return tmp_path_factory.mktemp("left") / "run"


def undisturbed(session: Session, left: Path) -> tuple[bytes, bytes]:
    """An undisturbed race's files."""
    if not left.exists():
        race(session, HereWorkers(session))
        shutil.copytree(session.folder.path, left, ignore=shutil.ignore_patterns("lock"))
        remove(session)
    return (left / "race.json").read_bytes(), (left / "race.jsonl").read_bytes()


@pytest.mark.slow
def test_stopped_anywhere_it_ends_the_same(session: Session, left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A race that is stopped after any number of trainings, again and again, ends with the same files, and trains
    nothing twice."""
    expected = undisturbed(session, left)
    trained: list[int] = []
    keep = outcomes.train_and_keep

    def stopped_now_and_then(own: Session, job: outcomes.Job, folder: Path) -> outcomes.Outcome:
        if len(trained) % 3 == 2:
            trained.append(-1)
            raise OSError("stopped")
        trained.append(job.index)
        return keep(own, job, folder)

    monkeypatch.setattr(outcomes, "train_and_keep", stopped_now_and_then)
    for _ in range(100):
        try:
            race(session, HereWorkers(session))
            break
        except OSError:
            continue
    assert files(session) == expected
    indices = sorted(index for index in trained if index >= 0)
    assert indices == list(range(json.loads(expected[0])["trials"]))
    assert not session.folder.race_outcomes.exists()


@pytest.mark.slow
def test_in_processes_of_their_own(session: Session, left: Path) -> None:
    """Real worker processes find what this process finds, byte for byte."""
    expected = undisturbed(session, left)
    race(session)
    assert files(session) == expected


@pytest.mark.slow
def test_an_outcome_of_another_job_does_not_count(session: Session, left: Path) -> None:
    """A file in race/ that belongs to another training is written anew."""
    expected = undisturbed(session, left)
    session.folder.race_outcomes.mkdir()
    trial = json.loads(expected[1].splitlines()[3])
    job = {name: trial[name] for name in ("index", "architecture", "recipe", "row_share")}
    outcome = {"job": {**job, "name": "another"}, "valid_log_loss": 0.0, "failure": "", "rows": 1}
    times = {"seconds": 1.0, "cpu_s": 1.0}
    write_json(session.folder.race_outcomes / "trial_00003.json", {"format": RUN_FORMAT, **outcome, **times})
    race(session, HereWorkers(session))
    assert files(session) == expected


@pytest.mark.slow
def test_what_was_found(session: Session, left: Path) -> None:
    """race.json says how many rows were trained, how many trainings failed, and finalists of both kinds."""
    undisturbed(session, left)
    shutil.copytree(left, session.folder.path, dirs_exist_ok=True)
    found = session.read(session.folder.race, RaceResult)
    trials = [json.loads(line) for line in session.folder.race_trials.read_text().splitlines()]
    assert found.trials == len(trials) and found.rows == sum(trial["rows"] for trial in trials)
    assert found.failed == sum(trial["valid_log_loss"] is None for trial in trials)
    assert {finalist.kind for finalist in found.finalists} == {"searched", "handmade"}


@pytest.mark.slow
def test_finalists_keep_their_best_training(session: Session, left: Path) -> None:
    """A finalist's best trial on whole passes is its first training to the end, metrics and all; those of others are
    removed. Where a pass of the race has not all rows, none is kept."""
    undisturbed(session, left)
    shutil.copytree(left, session.folder.path, dirs_exist_ok=True)
    found = session.read(session.folder.race, RaceResult)
    trials = [json.loads(line) for line in session.folder.race_trials.read_text().splitlines()]
    kept = [
        finalist for finalist in found.finalists if trials[finalist.trial]["round"].startswith(("finals", "tuning"))
    ]
    assert kept
    for finalist in found.finalists:
        assert trials[finalist.trial]["valid_log_loss"] == finalist.valid_log_loss
        assert is_trained(session, retrain_stage(finalist.kind, finalist.name, 0)) == (finalist in kept)
    for finalist in kept:
        stage = retrain_stage(finalist.kind, finalist.name, 0)
        log_loss = read_record(session.folder.result(stage), SplitMetrics).valid.log_loss
        assert log_loss == pytest.approx(finalist.valid_log_loss, rel=1e-6)
        assert {line.stage for _, line in read_lines(session.folder.metrics(stage), MetricsLine)} == {stage}
    assert not session.folder.checkpoints(FINALS).exists()


@pytest.mark.slow
def test_a_small_logs_supernet(session: Session) -> None:
    """On a log under race.supernet_rows a race needs no supernet, and takes the winners of one that was searched."""
    config = dataclasses.replace(session.config.race, from_supernet=1, generations=0, tuning_trials=0)
    own = dataclasses.replace(session, config=dataclasses.replace(session.config, race=config))
    assert not config.wants_supernet(session.dataset.rows("train"))
    race(own, HereWorkers(own))
    origins = {trial.origin for _, trial in read_lines(session.folder.race_trials, Trial, session.space)}
    assert not any("supernet" in origin for origin in origins)
    remove(session)
    network = single_operator_any_connection(session.space, numpy.random.default_rng(8))
    candidate = Candidate(5, 0, network, 0.5, multiply_accumulates=1, parameters=1)
    session.write(session.folder.winners, Winners("open", "random", 1, 0.6, (candidate,)))
    race(own, HereWorkers(own))
    trials = [trial for _, trial in read_lines(session.folder.race_trials, Trial, session.space)]
    assert [trial.supernet_score for trial in trials if trial.origin == "candidate 5 of the supernet"][:1] == [0.5]


@pytest.mark.slow
def test_on_fewer_rows_nothing_is_kept(session: Session) -> None:
    """race.max_rows below the training rows: finalists are trained to the end on all of them afterwards."""
    fewer = dataclasses.replace(session.config.race, max_rows=300, tuning_trials=0)
    own = dataclasses.replace(session, config=dataclasses.replace(session.config, race=fewer))
    race(own, HereWorkers(own))
    assert not session.folder.checkpoints("retrain").exists() and not session.folder.checkpoints(FINALS).exists()


def test_together(session: Session, tmp_path: Path) -> None:
    """With race.trained together the ranks of the run train, without other processes."""
    together = dataclasses.replace(session.config.race, trained="together", generations=0, tuning_trials=0)
    own = dataclasses.replace(session, config=dataclasses.replace(session.config, race=together))
    team = Workers(own)
    team._started = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    race(own, team)
    assert session.read(session.folder.race, RaceResult).trials > 3
