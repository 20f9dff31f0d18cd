"""Winners and baselines from scratch: results.json says what the trained networks do."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.space import multiply_accumulates, parameter_count
from pipeline.retrain import contenders, summary, table_line
from pipeline.run.processes import join
from pipeline.run.records.codec import to_plain
from pipeline.run.records.results import Metrics, ModelKind, ModelResult, Results
from pipeline.session import Session, open_session
from pipeline.training.frozen_rows import load_frozen_rows
from pipeline.training.metrics import Evaluation
from pipeline.training.standalone import build_searched, rebuild, train_standalone

TinyRun = Any


@pytest.fixture
def session(copied: TinyRun) -> Iterator[Session]:
    """An open session on a copy of the finished run."""
    with join("cpu") as processes, open_session(copied.config, processes) as opened:
        yield opened


def results(session: Session) -> Results:
    """What was retrained: a winner and a baseline."""
    return session.read(session.folder.results, Results)


@pytest.mark.slow
def test_metrics_are_those_of_the_saved_networks(session: Session) -> None:
    """For every model: the checkpoint's network on looked-up rows of each split gives the metrics in results.json."""
    models = results(session).models
    assert [(model.kind, model.name) for model in models] == [("winner", "winner_1"), ("baseline", "deepfm")]
    for model in models:
        contender = rebuild(session, model)
        tables = train_standalone(session, contender).trainee.embeddings
        for split, written in (("valid", model.valid), ("test", model.test)):
            rows = load_frozen_rows(tables, session.dataset, split, 10**9, session.processes)
            evaluation = Evaluation()
            with torch.no_grad():
                evaluation.add(contender.network(rows.dense, rows.embedded), rows.label)
            found = to_plain(evaluation.metrics())
            assert found == pytest.approx(to_plain(written), rel=1e-6)
            assert found["rows"] == session.dataset.rows(split)


def test_counts_are_those_of_the_networks(session: Session) -> None:
    """Parameters are the built network's own number; multiply-accumulates are the exact counts of its kind."""
    for contender, model in zip(contenders(session), results(session).models, strict=True):
        own = sum(parameter.numel() for parameter in contender.network.parameters())
        assert model.parameters == contender.parameters == own
        assert model.multiply_accumulates == contender.multiply_accumulates
        if contender.architecture is not None:
            assert own == parameter_count(contender.architecture, session.shape)
            assert model.multiply_accumulates == multiply_accumulates(contender.architecture, session.shape)


def test_the_best_is_chosen_on_validation_rows(session: Session) -> None:
    """Not on test rows, and never a baseline or a given architecture."""

    def model(name: str, kind: ModelKind, valid: float, test: float) -> ModelResult:
        metrics = [Metrics(log_loss, None, None, None, 10) for log_loss in (valid, test)]
        return ModelResult(name, kind, name, None, None, 1, 1, *metrics)

    models = [
        model("winner_1", "winner", 0.5, 0.1),
        model("winner_2", "winner", 0.4, 0.9),
        model("winner_2", "given", 0.1, 0.1),
        model("dlrm", "baseline", 0.1, 0.1),
    ]
    found = summary(session, models)
    assert found.best_model == models[1]
    labels = [float(label) for batch in session.dataset.stream("test", 64) for label in batch.label]
    assert found.test_rows == len(labels) and found.label_ratio == pytest.approx(sum(labels) / len(labels))
    assert found.oracle_test_log_loss is not None and 0 < found.oracle_test_log_loss < 1


def test_contenders_start_from_weights_of_their_own(session: Session) -> None:
    """Built twice a contender is the same; another name gives other weights."""
    architecture = contenders(session)[0].architecture
    assert architecture is not None
    names = ("winner_1", "winner_1", "winner_2")
    first, again, other = (build_searched(session, "winner", name, architecture) for name in names)
    assert (first.title, other.title) == ("Winner 1", "Winner 2")
    weights = [torch.cat([value.flatten() for value in made.network.parameters()]) for made in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_given_architecture_is_no_baseline(copied: TinyRun, tmp_path: Path, session: Session) -> None:
    """A user's file called deepfm.json has a stage of its own and is said to be given; the baseline stays one."""
    architecture = contenders(session)[0].architecture
    assert architecture is not None
    path = tmp_path / "deepfm.json"
    path.write_text(json.dumps(architecture.to_json()))
    recipe = dataclasses.replace(session.config.retrain, architectures=(str(path),))
    with_file = dataclasses.replace(session, config=dataclasses.replace(session.config, retrain=recipe))
    found = [(contender.kind, contender.name, contender.stage) for contender in contenders(with_file)]
    assert found == [
        ("winner", "winner_1", "retrain/winner/winner_1"),
        ("given", "deepfm", "retrain/given/deepfm"),
        ("baseline", "deepfm", "retrain/baseline/deepfm"),
    ]


def test_a_line_without_auc(session: Session) -> None:
    """Where test rows have one label only there is no AUC, and the line has a dash."""
    model = results(session).best_model
    assert f"AUC {model.test.auc:.4f}" in table_line(model)
    without = dataclasses.replace(model, test=dataclasses.replace(model.test, auc=None))
    assert "AUC    –  " in table_line(without)


def test_networks_without_layer_norms(session: Session) -> None:
    """retrain.layer_norm off: the built winners have biases instead; baselines stay as they are."""
    recipe = dataclasses.replace(session.config.retrain, layer_norm=False)
    bare = dataclasses.replace(session, config=dataclasses.replace(session.config, retrain=recipe))
    for with_norms, without in zip(contenders(session), contenders(bare), strict=True):
        built = sum(parameter.numel() for parameter in without.network.parameters())
        if without.architecture is not None:
            assert built == parameter_count(without.architecture, session.shape, layer_norm=False)
            assert built < parameter_count(without.architecture, session.shape)
        else:
            assert built == sum(parameter.numel() for parameter in with_norms.network.parameters())
