"""pipeline/training/standalone.py: networks start from weights of their own and are trained once."""

import dataclasses
import json
import shutil
from unittest import mock
from unittest.mock import DEFAULT

import pytest
import torch

from modules.operators import STEP_SHARE
from modules.space import parameter_count
from modules.space.handmade import handmade
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import ModelResult, Results, retrain_stage
from pipeline.session import Session
from pipeline.training import loop, standalone
from pipeline.training.platt_scaling import fitted
from pipeline.training.row_logits import RowLogits
from pipeline.training.stage import split_logits
from pipeline.training.standalone import (
    Contender,
    build,
    build_trainee,
    has_logits,
    rebuild,
    train_standalone,
    train_with_logits,
    with_recipe,
)

RECIPE = Recipe(embedding_width=8, batch_size=64)


def dlrm(session: Session, name: str = "dlrm", seed: int = 0, recipe: Recipe = RECIPE) -> Contender:
    """A hand-made contender."""
    shape = with_recipe(session, recipe).shape
    return build(session, retrain_stage("handmade", name, seed), name, handmade("dlrm", shape), recipe, seed)


def weights(contender: Contender) -> torch.Tensor:
    """All of its dense weights."""
    return torch.cat([parameter.detach().flatten() for parameter in contender.network.parameters()])


def models(session: Session) -> tuple[ModelResult, ...]:
    """What was trained: a searched model and a hand-made one."""
    return session.read(session.folder.results, Results).models


def test_a_contender_has_weights_of_its_own(session: Session) -> None:
    """Built again they are the same; another name or seed gives others."""
    first, again, named, seeded = dlrm(session), dlrm(session), dlrm(session, "other"), dlrm(session, seed=1)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(named)) and not torch.equal(weights(first), weights(seeded))


def test_a_contender_has_the_embedding_width_of_its_recipe(session: Session) -> None:
    """Tables and network have it, and the run's own session keeps the run's."""
    contender = dlrm(session)
    assert {table.embedding_dim for table in contender.session.tables()} == {8}
    assert session.shape.embedding_width == session.config.model.embedding_width != 8
    built = sum(parameter.numel() for parameter in contender.network.parameters())
    assert built == parameter_count(handmade("dlrm", contender.session.shape), contender.session.shape)


@pytest.mark.slow
def test_tables_of_unequal_widths(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe's table widths are the tables' own, exactly; the network is trained with its projections, resumes from
    the middle and ends as if it had not stopped, and is loaded again with the same metrics."""
    widths = tuple(4 + 4 * (table % 2) for table in range(session.dataset.schema.num_categories))
    recipe = dataclasses.replace(RECIPE, table_widths=widths, epochs=2, table_prior_count=8.0)
    contender = dlrm(session, "unequal", recipe=recipe)
    assert tuple(table.embedding_dim for table in contender.session.tables()) == widths
    sizes = session.dataset.schema.table_sizes
    assert contender.session.table_bytes == 4 * sum(w * rows for w, rows in zip(widths, sizes, strict=True))
    before = {name: value.detach().clone() for name, value in contender.network.named_parameters()}
    for name, value in before.items():
        if name.startswith("projections."):  # orthonormal columns: a vector is as long as the table's row
            product = (STEP_SHARE * value).double()
            torch.testing.assert_close(product.T @ product, torch.eye(4).double(), rtol=0, atol=1e-5)
    trained = train_standalone(contender)
    held = trained.trainee.embeddings.state_dict()
    assert {name.split(".")[-2]: table.shape[1] for name, table in held.items()} == dict(
        zip(session.dataset.schema.table_names, widths, strict=True)
    )
    projections = {name for name in before if name.startswith("projections.")}
    assert len(projections) == widths.count(4)
    assert all(not torch.equal(before[name], trained.trainee.parameters[name]) for name in projections)
    assert train_standalone(dlrm(session, "unequal", recipe=recipe)).metrics == trained.metrics
    shutil.rmtree(session.folder.checkpoints(contender.stage))
    step = mock.Mock(side_effect=[DEFAULT] * 7 + [KeyboardInterrupt], wraps=loop.train_step)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "train_step", step)
        train_standalone(dlrm(session, "unequal", recipe=recipe))
    resumed = train_standalone(dlrm(session, "unequal", recipe=recipe))
    assert resumed.metrics == trained.metrics
    for name, parameter in trained.trainee.parameters.items():
        assert torch.equal(parameter, resumed.trainee.parameters[name]), name


def test_without_layer_norms(session: Session) -> None:
    """retrain.layer_norm off: networks have biases in place of the norms that can be left out."""
    searched = models(session)[0]
    bare = dataclasses.replace(session.config, retrain=dataclasses.replace(session.config.retrain, layer_norm=False))
    without = rebuild(dataclasses.replace(session, config=bare), searched)
    built = sum(parameter.numel() for parameter in without.network.parameters())
    assert built == parameter_count(searched.architecture, without.session.shape, layer_norm=False)


def test_results_rebuild_their_contenders(session: Session) -> None:
    """What a result says of a model its rebuilt network says too, for each of its seeds."""
    for model in models(session):
        for seed, stage in enumerate(model.stages):
            contender = rebuild(session, model, seed)
            assert contender.stage == stage and contender.recipe == model.recipe
            assert sum(parameter.numel() for parameter in contender.network.parameters()) == model.parameters


def test_an_untrained_network_predicts_one_half(session: Session) -> None:
    """As the supernet it starts with a head of zeros: its logit is 0 whatever the rows."""
    for model in models(session):
        contender = rebuild(session, model)
        shape = contender.session.shape
        logit = contender.network(torch.rand(3, shape.integers), torch.rand(3, shape.fields, shape.embedding_width))
        assert torch.equal(logit, torch.zeros(3))


def test_a_trainee_is_the_whole_network(session: Session) -> None:
    """Every parameter of the network is trained in each step, and is what a checkpoint holds."""
    contender = dlrm(session)
    trainee = build_trainee(contender.session, contender.network, contender.recipe)
    names = [name for name, _ in contender.network.named_parameters()]
    assert [part.name for part in trainee.draw_paths(0).slices] == names == list(trainee.tensors()["dense"])


@pytest.mark.slow
def test_a_finished_stage_is_only_loaded(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its result is the file's, its weights the checkpoint's; without the checkpoint it is trained again, the same."""
    (model,) = (model for model in models(session) if model.kind == "handmade")
    folder = session.folder.checkpoints(model.stages[1])
    written = json.loads((folder / "result.json").read_text())
    train = mock.Mock(wraps=standalone.train_to_end)
    monkeypatch.setattr(standalone, "train_to_end", train)
    loaded = train_standalone(rebuild(session, model, 1))
    assert not train.called and loaded.metrics == model.seeds[1]
    assert loaded.metrics.test.log_loss == written["test"]["log_loss"]
    for checkpoint in folder.glob("step_*"):
        shutil.rmtree(checkpoint)
    again = train_standalone(rebuild(session, model, 1))
    assert train.call_count == 1
    for split in ("valid", "test"):
        assert getattr(again.metrics, split).log_loss == pytest.approx(getattr(loaded.metrics, split).log_loss)
    for name, parameter in loaded.trainee.parameters.items():
        torch.testing.assert_close(parameter, again.trainee.parameters[name])


@pytest.mark.parametrize("is_scaled", [True, False])
def test_what_is_trained_is_platt_scaled(session: Session, is_scaled: bool) -> None:
    """The checkpoint's weights hold the scaling: another fit finds none to do; retrain.platt_scaling off: it does."""
    retrained = dataclasses.replace(session.config.retrain, platt_scaling=is_scaled)
    own = dataclasses.replace(session, config=dataclasses.replace(session.config, retrain=retrained))
    recipe = dataclasses.replace(RECIPE, epochs=3, learning_rate=0.01)
    trained = [train_standalone(dlrm(own, f"scaled_{is_scaled}", recipe=recipe)) for _ in range(2)]  # trained, loaded
    assert trained[0].metrics == trained[1].metrics
    stage = retrain_stage("handmade", f"scaled_{is_scaled}", 0)
    for one in trained:
        network = dlrm(own, f"scaled_{is_scaled}", recipe=recipe).network
        network.load_state_dict(dict(one.trainee.parameters))
        found = fitted(split_logits(own, network, one.trainee, "valid"), stage)
        assert (found.scale == pytest.approx(1, abs=1e-3) and abs(found.bias) < 1e-3) == is_scaled


def test_logits_are_written_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they lie beside the checkpoint nothing is done; where they are missing they are written, the same."""
    model = models(session)[-1]
    stage = model.stages[0]
    paths = [session.folder.logits(stage, split, 1) for split in ("valid", "test")]
    before = [RowLogits.read(path) for path in paths]
    loaded = mock.Mock(wraps=standalone.train_standalone)
    monkeypatch.setattr(standalone, "train_standalone", loaded)
    train_with_logits(rebuild(session, model))
    assert not loaded.called
    paths[1].unlink()
    assert not has_logits(session, stage)
    train_with_logits(rebuild(session, model))
    assert has_logits(session, stage)
    for path, old in zip(paths, before, strict=True):
        assert RowLogits.read(path).logits == pytest.approx(old.logits, rel=1e-5, abs=1e-6)
        assert (RowLogits.read(path).labels == old.labels).all()
