"""A finished run's model trained on (--warm-start): it begins where it ended, numbered as it was, and resumes."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock
from unittest.mock import DEFAULT

import pytest
import torch

from pipeline.config import RunConfig
from pipeline.export import export_best
from pipeline.race.stage import race
from pipeline.report import write_report
from pipeline.retrain import retrain
from pipeline.run.processes import join
from pipeline.run.records.race import RaceResult
from pipeline.run.records.results import Results, SplitMetrics
from pipeline.session import Session, open_session
from pipeline.training import loop
from pipeline.training.standalone import rebuild, train_standalone
from pipeline.warm_start import before_path, exported_model

TinyRun = Any


def newer(copied: TinyRun, **changes: Any) -> RunConfig:
    """The configuration of a run that trains the finished one's model on."""
    config: RunConfig = dataclasses.replace(copied.config, run="newer", warm_start=str(copied.path))
    return dataclasses.replace(config, **changes)


def with_data(config: RunConfig, **changes: Any) -> RunConfig:
    """With other settings of the log."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **changes))


@pytest.fixture
def opened() -> Iterator[Any]:
    """Opens sessions, which are closed at the end."""
    with ExitStack() as held:
        processes = held.enter_context(join("cpu"))
        yield lambda config: held.enter_context(open_session(config, processes))


def trained_on(session: Session) -> Results:
    """The race's and the finalists' stages."""
    race(session)
    return retrain(session)


@pytest.mark.slow
def test_it_begins_where_the_earlier_run_ended(
    copied: TinyRun, opened: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the very log of the earlier run the weights have, before a step, what that run says of them; no race is run;
    the one model is the exported one, trained one pass further, and it is exported and reported as any other."""
    earlier_session = opened(copied.config)
    earlier = exported_model(earlier_session.folder, earlier_session.space)
    session = opened(newer(copied))
    results = trained_on(session)
    (model,) = results.models
    assert (model.name, model.kind, model.architecture) == (earlier.name, earlier.kind, earlier.architecture)
    assert (model.recipe.epochs, model.recipe.tables, model.trials) == (1, "kept", 0)
    for seed, stage in enumerate(model.stages):
        before = session.read(before_path(session.folder, stage), SplitMetrics)
        assert before.test.log_loss == pytest.approx(earlier.seeds[seed].test.log_loss, rel=1e-6)
        assert model.seeds[seed].test.log_loss != before.test.log_loss
    assert session.folder.race_trials.read_text() == ""
    export_best(session)
    write_report(session.folder.path, "test")
    card = json.loads(session.folder.model.with_suffix(".json").read_text())
    old = json.loads((copied.path / "model.json").read_text())
    assert card["inputs"] == old["inputs"] and card["numbering"] == old["numbering"]
    assert (session.folder.path / "vocabulary.bin").read_bytes() == (copied.path / "vocabulary.bin").read_bytes()
    said = capsys.readouterr().out
    assert f"{earlier.title}, before" in said and f"as {copied.path} left it" in said


@pytest.mark.slow
def test_it_resumes(copied: TinyRun, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle and begun again it ends with the same weights as if it had not been, on a newer log."""
    session = opened(with_data(newer(copied), seed=3))
    race(session)
    model = dataclasses.replace(
        exported_model(opened(copied.config).folder, session.space),
        recipe=session.read(session.folder.race, RaceResult).finalists[0].recipe,
    )
    whole = train_standalone(rebuild(session, model))
    shutil.rmtree(session.folder.checkpoints(model.stages[0]))
    step = mock.Mock(side_effect=[DEFAULT] * 7 + [KeyboardInterrupt], wraps=loop.train_step)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "train_step", step)
        train_standalone(rebuild(session, model))
    resumed = train_standalone(rebuild(session, model))
    assert resumed.metrics == whole.metrics
    for name, parameter in whole.trainee.parameters.items():
        assert torch.equal(parameter, resumed.trainee.parameters[name]), name


def test_values_keep_their_rows(copied: TinyRun, opened: Any) -> None:
    """A newer log's values have the rows that the earlier run's vocabularies gave them, and those that it did not know
    row 1; tables are as large as they were; numbers are standardized as they were; workers open it alike."""
    old, new = opened(copied.config), opened(with_data(newer(copied), seed=3))
    assert new.dataset.schema.table_sizes == old.dataset.schema.table_sizes
    assert new.dataset.numbering == old.dataset.numbering
    column = old.dataset.schema.categories[2]
    known = dict(_rows_of(old, column))
    found = dict(_rows_of(new, column))
    shared = known.keys() & found.keys()
    assert shared and all(known[value] == found[value] for value in shared)
    statistics = "data/integers.json"
    assert (new.folder.path / statistics).read_bytes() == (copied.path / statistics).read_bytes()


def _rows_of(session: Session, column: str) -> list[tuple[Any, int]]:
    """Raw values of a column in the validation rows, with their table rows."""
    place = session.dataset.schema.categories.index(column)
    values = [row[column] for row in session.dataset.raw_rows("valid", 50)]
    rows: list[int] = []
    for batch in session.dataset.stream("valid", 50, drop_last=False):
        rows += batch.sparse[batch.sparse.keys()[place]].values().tolist()
    return list(zip(values, rows, strict=False))


@pytest.mark.parametrize(
    ("changes", "data", "message"),
    [
        ({"warm_start": "/nowhere"}, {}, r"which is no finished run: it has no config\.json"),
        ({"retrain_seeds": 5}, {}, r"retrain\.seeds is 5, but .* has 2 trainings .*--retrain\.seeds 2"),
        ({"layer_norm": False}, {}, r"retrain\.layer_norm is False, and .* was run with True"),
        ({}, {"min_count": 2}, r"data\.min_count is 2, but the log is numbered as that of"),
        ({}, {"numbering": "hash"}, r"data\.numbering is hash"),
        (
            {},
            {"max_table_rows": 20},
            r"data\.max_table_rows is 20, but the model of .* tables of up to .* rows; give --data",
        ),
    ],
)
def test_what_it_cannot_go_on_with(
    copied: TinyRun, opened: Any, changes: dict[str, Any], data: dict[str, Any], message: str
) -> None:
    """A folder that is no finished run, and settings that would be ignored or contradict it, are one clear line."""
    config = with_data(newer(copied), **data)
    if "warm_start" in changes:
        config = dataclasses.replace(config, warm_start=changes["warm_start"])
    own = {"seeds": changes.get("retrain_seeds", 2), "layer_norm": changes.get("layer_norm", True)}
    config = dataclasses.replace(config, retrain=dataclasses.replace(config.retrain, **own))
    with pytest.raises(ValueError, match=message):
        opened(config)


def test_a_damaged_checkpoint_is_no_beginning(copied: TinyRun, opened: Any) -> None:
    """A tensor file of the earlier run that was cut is an error that names it, and nothing is trained."""
    session, earlier = opened(newer(copied)), opened(copied.config)
    race(session)
    model = exported_model(earlier.folder, session.space)
    file = next(Path(copied.path / "checkpoints" / model.stages[0]).glob("step_*/*.tensors"))
    contents = file.read_bytes()
    file.unlink()  # it is a hard link to other tests'
    file.write_bytes(contents[: len(contents) // 2])
    with pytest.raises(ValueError, match=file.name):
        train_standalone(rebuild(session, model))
    assert not session.folder.checkpoints(model.stages[0]).exists()
