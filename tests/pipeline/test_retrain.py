"""Winners and baselines from scratch: results.json says what the trained networks do."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from modules import baselines
from modules.space import Architecture, multiply_accumulates, parameter_count
from pipeline.retrain import best_model, contenders, read_results, summary, table_line
from pipeline.run.processes import join
from pipeline.session import Session, open_session
from pipeline.training.frozen_rows import look_up
from pipeline.training.metrics import Evaluation
from pipeline.training.standalone import build, train_standalone

TinyRun = Any


@pytest.fixture
def session(copied: TinyRun) -> Iterator[Session]:
    """An open session on a copy of the finished run."""
    with join("cpu") as processes, open_session(copied.config, processes) as opened:
        yield opened


def test_metrics_are_those_of_the_saved_networks(session: Session) -> None:
    """For every model: the checkpoint's network on looked-up rows of each split gives the metrics in results.json."""
    entries = read_results(session.run)["models"]
    assert [entry["name"] for entry in entries] == ["winner_1", "deepfm"]
    for entry in entries:
        architecture = entry["architecture"] and Architecture.from_json(entry["architecture"])
        network = build(session, entry["name"], architecture).network
        tables = train_standalone(session, network, entry["name"]).trainee.embeddings
        for split in ("valid", "test"):
            rows = look_up(tables, session.dataset, split, 10**9, session.processes)
            evaluation = Evaluation()
            with torch.no_grad():
                evaluation.add(network(rows.dense, rows.embedded), rows.label)
            found = evaluation.metrics().to_json()
            assert found == pytest.approx(entry[split], rel=1e-6)
            assert found["rows"] == session.dataset.rows(split)


def test_counts_are_those_of_the_networks(session: Session) -> None:
    """Parameters are the built network's own number; multiply-accumulates are the exact counts of its kind."""
    for contender, entry in zip(contenders(session), read_results(session.run)["models"], strict=True):
        own = sum(parameter.numel() for parameter in contender.network.parameters())
        assert entry["parameters"] == own
        if contender.architecture is not None:
            assert own == parameter_count(contender.architecture, session.shape)
            assert entry["multiply_accumulates"] == multiply_accumulates(contender.architecture, session.shape)
        else:
            assert isinstance(contender.network, baselines.DeepFMInteraction)
            assert entry["multiply_accumulates"] == baselines.multiply_accumulates(contender.network)


def test_the_best_is_chosen_on_validation_rows(session: Session) -> None:
    """Not on test rows, and never a baseline."""

    def entry(name: str, kind: str, valid: float, test: float) -> dict[str, Any]:
        return {"name": name, "kind": kind, "valid": {"log_loss": valid}, "test": {"log_loss": test}}

    entries = [
        entry("winner_1", "winner", 0.5, 0.1),
        entry("winner_2", "winner", 0.4, 0.9),
        entry("dlrm", "baseline", 0.1, 0.1),
    ]
    found = summary(session, entries)
    assert best_model(found) == entries[1]
    labels = [float(label) for batch in session.dataset.stream("test", 64) for label in batch.label]
    assert found["test_rows"] == len(labels) and found["label_ratio"] == pytest.approx(sum(labels) / len(labels))
    assert 0 < found["oracle_test_log_loss"] < 1


def test_contenders_start_from_weights_of_their_own(session: Session) -> None:
    """Built twice a contender is the same; another name gives other weights."""
    architecture = contenders(session)[0].architecture
    first, again, other = (build(session, name, architecture) for name in ("winner_1", "winner_1", "winner_2"))
    assert (first.title, other.title) == ("Winner 1", "Winner 2")
    weights = [torch.cat([value.flatten() for value in made.network.parameters()]) for made in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_line_without_auc(copied: TinyRun) -> None:
    """Where test rows have one label only there is no AUC, and the line has a dash."""
    (entry, _) = json.loads((copied.path / "results.json").read_text())["models"]
    assert f"AUC {entry['test']['auc']:.4f}" in table_line(entry)
    assert "AUC    –  " in table_line({**entry, "test": {**entry["test"], "auc": None}})


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
