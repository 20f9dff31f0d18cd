"""pipeline/rank_study.py: the study of a small run, stopped and resumed, printed, and in its report."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.race import outcomes
from pipeline.rank_study import main, rank_study
from pipeline.report import write_report
from pipeline.run.processes import join
from pipeline.run.records.settings import RankStudyConfig
from pipeline.session import Session, open_session
from tests.pipeline.race.test_stage import HereWorkers

TinyRun = Any
STUDY = RankStudyConfig(random=3, good=1, shares=(0.5,), rows=128, samplers=("single_path",))


@pytest.fixture
def session(copied: TinyRun) -> Iterator[Session]:
    """A finished run's session, with a small study's settings."""
    config = dataclasses.replace(copied.config, rank_study=STUDY)
    with join("cpu") as processes, open_session(config, processes) as opened:
        yield opened


@pytest.mark.slow
def test_a_study(session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every network has its trainings and scores, in the race's form; stopped and resumed, only what is missing is
    trained; the last line has the figures of the race's own score, and the report shows the table."""
    trained, keep = list[str](), outcomes.run_job

    def stopped_once(own: Session, job: outcomes.Job) -> outcomes.Outcome:
        trained.append(job.name)
        if len(trained) == 5:
            raise OSError("stopped")
        return keep(own, job)

    monkeypatch.setattr(outcomes, "run_job", stopped_once)
    with pytest.raises(OSError, match="stopped"):
        rank_study(session, HereWorkers(session))
    study = rank_study(session, HereWorkers(session))
    assert len(trained) == len(set(trained)) + 1 == 4 * (2 + 2) + 1
    assert [one.origin for one in study.networks] == ["random"] * 3 + ["good"]
    assert all(len(one.losses) == 2 and one.loss is not None for one in study.networks)
    on_supernet = {"as_is", "head_fitted", "warm", "cold"}
    by_single_path = {f"single_path.{name}" for name in on_supernet}
    assert {one.name for one in study.scores} == {*on_supernet, *by_single_path, "scratch_0.25", "scratch_0.5"}
    by_name = {one.name: one.scores for one in study.scores}
    assert by_name["as_is"] != by_name["single_path.as_is"]
    assert [path.name for path in session.folder.checkpoints("supernet").parent.glob("supernet*")] == ["supernet"]
    assert [one.cpu_s for one in study.scores] == sorted(one.cpu_s for one in study.scores)
    assert study.recipe.epochs == 1 and not session.folder.rank_study_outcomes.exists()
    capsys.readouterr()
    main(session)
    (own,) = (one.ranking for one in study.scores if one.name == "scratch_0.25")
    figures = {"kendall_tau": round(own.kendall_tau.value, 3), "top3_regret": round(own.top3_regret.value, 5)}
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures
    assert 'id="rank-study"' in write_report(session.folder.path, "command").read_text()
    other = dataclasses.replace(session.config, rank_study=dataclasses.replace(STUDY, seeds=3))
    with pytest.raises(ValueError, match="study with other settings"):
        rank_study(dataclasses.replace(session, config=other))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("random", 2), ("good", -1), ("seeds", 0), ("rows", 0), ("shares", (0.5, 1.0))],
        *[("samplers", ("any_path", "any_path")), ("samplers", ("best_path",))],
    ],
)
def test_settings(name: str, value: Any) -> None:
    """A setting outside its range is refused by name."""
    with pytest.raises(ValueError, match=rf"rank_study\.{name}"):
        dataclasses.replace(STUDY, **{name: value})
