"""Training as a stage: what it measures, what it leaves, and that it is done once."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.supernet import extract
from pipeline import train
from pipeline.run.files import read_json
from pipeline.run.processes import join
from pipeline.session import Session, open_session
from pipeline.train import train_supernet
from pipeline.training.frozen_rows import load_frozen_rows
from pipeline.training.supernet import build_supernet, load_supernet, validation_architectures

TinyRun = Any


@pytest.fixture
def session(copied: TinyRun) -> Iterator[Session]:
    """An open session on a copy of the finished run."""
    with join("cpu") as processes, open_session(copied.config, processes) as opened:
        yield opened


@pytest.mark.slow
def test_result_is_the_mean_log_loss_of_the_validation_paths(session: Session) -> None:
    """result.json's figure is that of the loaded supernet, run as a supernet on the validation rows."""
    supernet, trainee = load_supernet(session)
    rows = load_frozen_rows(trainee.embeddings, session.dataset, "valid", 10**9, session.processes)
    assert len(rows.label) == session.dataset.rows("valid")
    losses = []
    for architecture in validation_architectures(session):
        with torch.no_grad():
            logit = supernet(rows.dense, rows.embedded, architecture).double()
        losses.append(float(binary_cross_entropy_with_logits(logit, rows.label.double())))
    assert len(set(losses)) == 2
    found = read_json(session.folder.result("supernet"))["valid_log_loss"]
    assert found == pytest.approx(sum(losses) / 2, rel=1e-6)


@pytest.mark.slow
def test_training_has_moved_every_kind_of_weight(session: Session) -> None:
    """Against a new supernet of the same seed: tables, dense weights and both optimizers' states have changed."""
    _, new = build_supernet(session)
    _, loaded = load_supernet(session)
    before, after = new.tensors(), loaded.tensors()
    for kind in ("dense", "dense_optimizer"):
        changed = [name for name, value in before[kind].items() if not torch.equal(value, after[kind][name])]
        assert len(changed) > len(before[kind]) / 4, kind
    for name, table in before["embeddings"].items():
        own, other = table.local_shards()[0].tensor, after["embeddings"][name].local_shards()[0].tensor
        assert not torch.equal(own, other)


def test_metrics_lines(copied: TinyRun) -> None:
    """A line every log_every steps and at the end, with rows counted and the schedule's learning rate falling to 0."""
    path = copied.path / "checkpoints" / "supernet" / "metrics.jsonl"
    supernet = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in supernet] == [2, 4, 6, 8, 10, 12]
    assert [line["rows"] for line in supernet] == [64 * step for step in (2, 4, 6, 8, 10, 12)]
    assert supernet[-1]["learning_rate"] < supernet[1]["learning_rate"] / 10
    assert {line["stage"] for line in supernet} == {"supernet"}


def test_a_finished_stage_is_not_trained_again(copied: TinyRun) -> None:
    """With result and checkpoint there, nothing is written but the report of it."""
    before = {path: path.stat().st_mtime_ns for path in copied.path.glob("checkpoints/supernet/**/*")}
    assert copied.program(train_supernet) == 0
    assert {path: path.stat().st_mtime_ns for path in copied.path.glob("checkpoints/supernet/**/*")} == before


@pytest.mark.slow
def test_a_stage_without_its_checkpoint_is_trained_again(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """A checkpoint removed by hand is made anew, and with it the same result."""
    result = copied.path / "checkpoints" / "supernet" / "result.json"
    expected = result.read_bytes()
    (checkpoint,) = result.parent.glob("step_*")
    shutil.rmtree(checkpoint)
    assert copied.program(train_supernet) == 0, capfd.readouterr().err
    assert checkpoint.is_dir() and result.read_bytes() == expected


def test_a_diverging_loss_stops_the_run(finished: TinyRun, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A loss that is no number ends the stage with one line; the checkpoint before it is kept."""
    run = type(finished)(tmp_path, finished.sizes, 0)
    assert run.program(train_supernet, "--supernet.table-learning-rate", "1e38", "--supernet.log-every", "1") == 1
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert (
        "program: supernet, step 2: the loss, its gradient or a weight is not finite" in last
        and "lower the learning rates" in last
    )
    assert not (run.path / "checkpoints" / "supernet" / "result.json").exists()


@pytest.mark.slow
def test_extracted_from_the_loaded_supernet(session: Session) -> None:
    """A sub-network extracted from the checkpoint gives the supernet's logits."""
    supernet, trainee = load_supernet(session)
    rows = load_frozen_rows(trainee.embeddings, session.dataset, "valid", 50, session.processes)
    architecture = validation_architectures(session)[0]
    with torch.no_grad():
        expected = supernet(rows.dense, rows.embedded, architecture)
        found = extract(supernet, architecture)(rows.dense, rows.embedded)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_supernet_keeps_its_best_pass(copied: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """With keep_best_pass the supernet is validated after each pass, and a worse one ends its training."""
    training = dataclasses.replace(copied.config.supernet, epochs=3, keep_best_pass=True, checkpoint_every=0)
    config = dataclasses.replace(copied.config, run="passes", supernet=training)
    losses = [0.5, 0.6]
    monkeypatch.setattr(train, "validate_supernet", lambda *_: losses.pop(0) if losses else 0.5)
    with join("cpu") as processes, open_session(config, processes) as opened:
        assert train_supernet(opened) == 0.5
    assert not losses
