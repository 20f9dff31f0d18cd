"""pipeline/training/standalone.py: networks start from weights of their own and are trained once."""

import json
import shutil
from unittest import mock

import pytest
import torch

from modules.baselines import BASELINES
from pipeline.run.records.results import Results
from pipeline.session import Session
from pipeline.training import standalone
from pipeline.training.standalone import build_baseline, build_trainee, rebuild, train_standalone


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_counts_its_own_parameters(session: Session, name: str) -> None:
    """Its count is the built network's; built again it has the same weights; its stage is its kind's and name's."""
    first, again = (build_baseline(session, name) for _ in range(2))
    assert first.parameters == sum(parameter.numel() for parameter in first.network.parameters())
    assert (first.stage, first.architecture) == (f"retrain/baseline/{name}", None)
    for one, other in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_results_rebuild_their_contenders(session: Session) -> None:
    """What a result says of a model (name, kind, counts, architecture, score) its rebuilt network says too."""
    for model in session.read(session.folder.results, Results).models:
        contender = rebuild(session, model)
        for field in ("name", "kind", "title", "architecture", "stage", "multiply_accumulates", "parameters"):
            assert getattr(contender, field) == getattr(model, field), field
        assert contender.supernet_score == model.supernet_score


def test_a_searched_network_predicts_one_half(session: Session) -> None:
    """As the supernet it starts with a head of zeros: its logit is 0 whatever the rows."""
    model, shape = session.read(session.folder.results, Results).best_model, session.shape
    network = rebuild(session, model).network
    logit = network(torch.rand(3, shape.integers), torch.rand(3, shape.fields, shape.embedding_width))
    assert torch.equal(logit, torch.zeros(3))


def test_a_trainee_is_the_whole_network(session: Session) -> None:
    """Every parameter of the network is trained in each step, and is what a checkpoint holds."""
    network = build_baseline(session, "deepfm").network
    trainee = build_trainee(session, network, session.config.retrain)
    names = [name for name, _ in network.named_parameters()]
    assert [part.name for part in trainee.draw_paths(0).slices] == names == list(trainee.tensors()["dense"])


@pytest.mark.slow
def test_a_finished_stage_is_only_loaded(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its result is the file's, its weights the checkpoint's; without the checkpoint it is trained again, the same."""
    folder = session.folder.checkpoints("retrain/baseline/deepfm")
    written = json.loads((folder / "result.json").read_text())
    train = mock.Mock(wraps=standalone.train_to_end)
    monkeypatch.setattr(standalone, "train_to_end", train)
    loaded = train_standalone(session, build_baseline(session, "deepfm"))
    assert not train.called and loaded.metrics.test.log_loss == written["test"]["log_loss"]
    for checkpoint in folder.glob("step_*"):
        shutil.rmtree(checkpoint)
    again = train_standalone(session, build_baseline(session, "deepfm"))
    assert train.call_count == 1 and again.metrics == loaded.metrics
    for name, parameter in loaded.trainee.parameters.items():
        assert torch.equal(parameter, again.trainee.parameters[name])
