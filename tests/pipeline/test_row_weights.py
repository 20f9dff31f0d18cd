"""A log with weights of rows, end to end: trained, judged, compared, exported, evaluated and reported by them."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modules.embeddings import embed
from modules.space.handmade import handmade
from pipeline.command_line import read_command_line
from pipeline.evaluation.config import EvaluateConfig, LogConfig
from pipeline.evaluation.evaluate import PAGE, RECORD, evaluate
from pipeline.export import _export, _newest_checkpoint
from pipeline.run.files import read_json
from pipeline.run.processes import join
from pipeline.run.records.model_card import Provenance
from pipeline.run.records.recipe import Recipe
from pipeline.serving.raw_rows import RawRows
from pipeline.session import Session, open_session
from pipeline.training.frozen_rows import load_frozen_rows
from pipeline.training.row_logits import RowLogits
from pipeline.training.standalone import Trained, build, train_standalone
from pipeline.trees import read_rows
from tests.pipeline.data.formats.test_weights import SCHEMA, table, write_log

RECIPE = Recipe(embedding_width=8, batch_size=64, epochs=2)
COLUMNS = ("label", "worth", "number", "user")


@pytest.mark.slow
def test_end_to_end(tmp_path: Path) -> None:
    """The trained network's test figures are those of the rows by their weights, written out; so are those of the
    export on its own log, whose page says that they are weighted, and what is cached and what trees are given. A raw
    line for the export lacks label and weight, or has both."""
    schema = dataclasses.replace(SCHEMA, columns=COLUMNS)
    config = write_log(tmp_path, "csv", table(3_000))
    _drop_headers(tmp_path / "log")
    schema.save(tmp_path / "schema.json")
    options = ["--data.path", config.path, "--data.schema", config.schema, "--runs", str(tmp_path / "runs")]
    with join("cpu") as processes:
        command = read_command_line("program", [*options, "--run", "one", "--device", "cpu"])
        with open_session(command, processes) as session:
            trained, dataset = _trained(session), session.dataset
            (batch,) = dataset.stream("test", 10_000, drop_last=False)
            logits = RowLogits.read(session.folder.logits("trained", "test", 1))
            cached = load_frozen_rows(trained.trainee.embeddings, dataset, "test", 10_000, processes)
            *_, weights = read_rows(dataset, "test")
            raw = dataset.raw_rows("test", 3)
            with torch.no_grad():
                embedded = embed(trained.trainee.embeddings, batch.sparse)
    assert logits.weights is not None and weights is not None and cached.factor is not None and batch.weight is not None
    worth = logits.weights
    assert worth.std() > 1 and np.array_equal(worth, weights) and torch.equal(torch.from_numpy(worth), batch.weight)
    assert torch.equal(cached.embedded, embedded) and float(cached.factor.mean()) == pytest.approx(1, rel=1e-6)
    assert cached.factor.numpy() == pytest.approx(worth / worth.mean(), rel=1e-6)
    probability = 1 / (1 + np.exp(-logits.logits.astype(float)))
    found = trained.metrics.test
    losses = np.logaddexp(0.0, np.where(logits.labels > 0, -1.0, 1.0) * logits.logits)
    assert found.log_loss == pytest.approx(np.average(losses, weights=worth), rel=1e-6)
    clicked = logits.labels > 0
    own, others = probability[clicked][:, None], probability[~clicked]
    pairs = np.outer(worth[clicked], worth[~clicked]).astype(float)
    assert found.auc == pytest.approx(np.average((own > others) + 0.5 * (own == others), weights=pairs), rel=1e-6)
    rate, predicted = (np.average(one, weights=worth) for one in (logits.labels, probability))
    assert found.calibration == pytest.approx(predicted / rate, rel=1e-6)
    assert abs(found.log_loss - losses.mean()) > 1e-5, "weights matter in this log"
    _check_export(tmp_path / "runs" / "one", tmp_path, config.path, raw)


def _drop_headers(log: Path) -> None:
    for path in log.iterdir():
        path.write_text(path.read_text().partition("\n")[2])


def _trained(session: Session) -> Trained:
    """A small network, trained and exported."""
    architecture = handmade("dlrm", dataclasses.replace(session.shape, embedding_width=RECIPE.embedding_width))
    contender = build(session, "trained", "dlrm", architecture, RECIPE)
    trained = train_standalone(contender)
    provenance = Provenance(session.dataset.numbering, architecture, RECIPE, (0,), trained.metrics)
    _export(session, [contender], [_newest_checkpoint(session, "trained")], provenance)
    return trained


def _check_export(run: Path, folder: Path, log: str, raw: list[dict[str, Any]]) -> None:
    """An evaluation on the whole log; lines with label and weight, and without; nothing of weights in the inputs."""
    evaluate(EvaluateConfig(str(run), LogConfig(path=log), output=str(folder / "out")), "command")
    found, rows = read_json(folder / "out" / RECORD), table(3_000)
    assert found["weight"] == "worth" and "Rows count by their weights (column &#39;worth&#39;)" in (
        folder / "out" / PAGE
    ).read_text().replace("'", "&#39;")
    worth, label = rows["worth"].to_numpy(), rows["label"].to_numpy()
    assert found["overall"]["label_ratio"] == pytest.approx(np.average(label, weights=worth), rel=1e-6)
    (user,) = found["categories"]
    (first, *_) = user["values"]
    own = np.array(rows["user"].to_pylist()) == first["value"]
    assert first["group"]["rows"] == own.sum()
    assert first["group"]["share"] == pytest.approx(worth[own].sum() / worth.sum(), rel=1e-6)
    assert first["group"]["label_ratio"] == pytest.approx(np.average(label[own], weights=worth[own]), rel=1e-6)
    encoder = RawRows.load(run / "model.json")
    line = [str(raw[0][name]) for name in ("number", "user")]
    assert encoder.parse(",".join(line)) == dict(zip(("number", "user"), line, strict=True))
    assert encoder.encode(encoder.parse(",".join(["1", "0.5", *line]))) == encoder.encode(raw[0])
    card = read_json(run / "model.json")
    assert "worth" not in str(card["inputs"]) and card["schema"]["weight"] == "worth"
