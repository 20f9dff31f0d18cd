"""A finished run's model trained on (--warm-start): it begins where it ended, numbered as it was, and resumes."""

import dataclasses
import itertools
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from unittest.mock import DEFAULT

import pytest
import torch
from torch.distributed._shard.sharded_tensor import ShardedTensor

from pipeline.config import RunConfig
from pipeline.export import export_best
from pipeline.race.stage import race
from pipeline.report import write_report
from pipeline.retrain import retrain
from pipeline.run.checkpoint import Checkpoints, complete
from pipeline.run.processes import join
from pipeline.run.records.race import RaceResult
from pipeline.run.records.results import Results, SplitMetrics
from pipeline.serving.raw_rows import RawRows
from pipeline.session import Session, open_session
from pipeline.training import loop
from pipeline.training.config import training_config
from pipeline.training.earlier_weights import begin_from_earlier, fill_grown
from pipeline.training.standalone import _metrics, build_trainee, rebuild, train_standalone
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
    """A newer log's values have the rows that the earlier run's vocabularies gave them; where none is as frequent as is
    asked, tables are as large as they were; numbers are standardized as they were; workers open it alike."""
    old, new = opened(copied.config), opened(with_data(newer(copied), seed=3, min_count=1_000))
    assert new.dataset.schema.table_sizes == old.dataset.schema.table_sizes
    assert new.dataset.numbering == old.dataset.numbering
    column = old.dataset.schema.categories[2]
    known = dict(_rows_of(old, column))
    found = dict(_rows_of(new, column))
    shared = known.keys() & found.keys()
    assert shared and all(known[value] == found[value] for value in shared)
    statistics = "data/integers.json"
    assert (new.folder.path / statistics).read_bytes() == (copied.path / statistics).read_bytes()


@pytest.mark.slow
def test_new_values_are_learned(copied: TinyRun, opened: Any) -> None:
    """Values that are new in the newer log have rows behind the earlier ones, which begin as the unknown value's:
    before a step the model scores every row as without them. They are trained, and exported: a raw row with a new value
    has its row, and model.pt takes it."""
    old = opened(copied.config)
    settings = {"seed": 3, "max_table_rows": 400}
    config = with_data(newer(copied), **settings)
    session = opened(dataclasses.replace(config, retrain=dataclasses.replace(config.retrain, seeds=1)))
    before, after = old.dataset.schema.table_sizes, session.dataset.schema.table_sizes
    (grown, *_) = [place for place in range(len(before)) if after[place] > before[place] + 5]
    (model,) = trained_on(session).models
    stage = model.stages[0]
    without = opened(dataclasses.replace(with_data(newer(copied), **settings, min_count=1_000), run="without"))
    race(without)
    untrained = rebuild(without, model)
    assert without.dataset.schema.table_sizes == before
    trainee = build_trainee(untrained.session, untrained.network, training_config(model.recipe, without.config.retrain))
    begin_from_earlier(without, trainee, stage, lambda: _metrics(without, untrained.network, trainee))
    expected = without.read(before_path(without.folder, stage), SplitMetrics)
    assert session.read(before_path(session.folder, stage), SplitMetrics) == expected
    trained = train_standalone(rebuild(session, model)).trainee.embeddings.state_dict()
    (table,) = [one for name, one in trained.items() if f".{session.dataset.schema.table_names[grown]}." in f".{name}."]
    rows = table.local_shards()[0].tensor
    assert len(rows) == after[grown]
    learned = (rows[before[grown] :] != rows[1]).any(dim=1)
    assert learned.double().mean() > 0.9, "but for those that stand only in rows that fill no batch"
    export_best(session)
    encoder = RawRows.load(session.folder.path / "model.json")
    column = session.dataset.schema.categories[grown]
    raw = session.dataset.raw_rows("train", 200)
    found = [encoder.encode(row) for row in raw]
    new = [(dense, ids) for dense, ids in found if ids[grown] >= before[grown]]
    assert new and RawRows.load(copied.path / "model.json").encode(raw[0])[0] == found[0][0]
    strange = next(row for row, (_, ids) in zip(raw, found, strict=True) if ids[grown] >= before[grown])
    assert RawRows.load(copied.path / "model.json").encode(strange)[1][grown] == 1, column
    model_pt = torch.jit.load(str(session.folder.model))
    dense, ids = (torch.tensor([one[place] for one in new]) for place in range(2))
    probability = model_pt(dense, ids)
    ids[:, grown] = 1
    assert (model_pt(dense, ids) != probability).all()


@pytest.mark.parametrize("shares", [(0, 9), (0, 4, 9)])
def test_grown_tables(tmp_path: Path, shares: tuple[int, ...]) -> None:
    """However its rows are shared between ranks, a table of nine rows begins with the six that were saved, then row 1's
    vector again; an accumulator goes on with its own value and what the prior holds of it."""
    saved = torch.arange(12.0).reshape(6, 2)
    states = torch.arange(6.0)
    with join("cpu") as processes:
        Checkpoints(tmp_path / "stage", processes).save(
            1, {"embeddings": {"bags.t.weight": saved}, "state": {"bags.t.weight": states}}, {}
        )
        (newest,) = complete(tmp_path / "stage")
    parts = [torch.full((stop - start, 2), -1.0) for start, stop in itertools.pairwise(shares)]
    sums = [torch.full((stop - start,), 0.5) for start, stop in itertools.pairwise(shares)]
    prior: Any = SimpleNamespace(held_of=lambda table: {"t": 0.25}[table])
    fill_grown("embeddings.bags.t.weight", _sharded(parts), newest, prior)
    fill_grown("state.bags.t.weight", _sharded(sums), newest, prior)
    assert torch.equal(torch.cat(parts), torch.cat([saved, saved[1].expand(3, 2)]))
    assert torch.cat(sums).tolist() == [*states.tolist(), 0.75, 0.75, 0.75]


def _sharded(parts: list[torch.Tensor]) -> Any:
    """Parts of a tensor one below the other, as a rank that holds them all has them."""
    first, shards = 0, []
    for part in parts:
        metadata = SimpleNamespace(shard_offsets=[first, *[0] * (part.dim() - 1)])
        shards.append(SimpleNamespace(tensor=part, metadata=metadata))
        first += len(part)
    found = mock.Mock(spec=ShardedTensor)
    found.local_shards.return_value = shards
    return found


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
