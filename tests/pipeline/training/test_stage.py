"""pipeline/training/stage.py: a stage's checkpoints decide what is done, and its evaluation is over the whole split."""

import dataclasses
import shutil

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.space.handmade import handmade
from pipeline.run.records.recipe import Recipe, TrainingRecipe
from pipeline.session import Session
from pipeline.training.config import UpkeepConfig, training_config
from pipeline.training.stage import (
    EVALUATED_AT_ONCE,
    evaluate_split,
    is_trained,
    load_trained,
    new_tables,
    own_batch_size,
    train_to_end,
)
from pipeline.training.standalone import Contender, build, build_trainee, train_standalone
from pipeline.training.supernet import SUPERNET, build_supernet


def dlrm(session: Session) -> Contender:
    """A hand-made contender of the run's embedding width."""
    recipe = Recipe(batch_size=64, embedding_width=session.shape.embedding_width)
    return build(session, "own", "own", handmade("dlrm", session.shape), recipe)


class FirstInput(nn.Module):
    """The logit is the first dense input less 1."""

    def forward(self, dense: torch.Tensor, sparse: torch.Tensor) -> torch.Tensor:
        """Dense [B, I], sparse [B, F, D] → logit [B]."""
        return dense[:, 0] - 1


def test_a_stage_is_trained_with_result_and_weights(session: Session) -> None:
    """Without its result or without its checkpoint it is not; an unknown stage is not."""
    (one, other) = sorted(session.folder.checkpoints("retrain/handmade/dlrm").iterdir())
    stages = [SUPERNET, *(f"retrain/handmade/dlrm/{path.name}" for path in (one, other))]
    assert all(is_trained(session, stage) for stage in stages) and not is_trained(session, "retrain/given/x")
    session.folder.result(SUPERNET).unlink()
    (checkpoint,) = one.glob("step_*")
    shutil.rmtree(checkpoint)
    assert [is_trained(session, stage) for stage in stages] == [False, False, True]


def test_loading_needs_a_checkpoint(session: Session) -> None:
    """Without one a ValueError names the folder and the program to run."""
    _, trainee = build_supernet(session)
    with pytest.raises(ValueError, match=r"checkpoints/nowhere: no checkpoint; .*python -m pipeline\.train"):
        load_trained(session, trainee, "nowhere")


def test_evaluation_is_over_all_rows(session: Session) -> None:
    """The log loss is torch's over every row of the split, each once, whatever is left over from full batches."""
    trainee = build_trainee(session, FirstInput(), TrainingRecipe())
    for split in ("valid", "test"):
        batches = list(session.dataset.stream(split, 7, drop_last=False))
        logit = torch.cat([batch.dense[:, 0] for batch in batches]).double() - 1
        label = torch.cat([batch.label for batch in batches]).double()
        found = evaluate_split(session, FirstInput(), trainee, split)
        assert found.rows == len(label) == session.dataset.rows(split)
        assert found.log_loss == pytest.approx(float(binary_cross_entropy_with_logits(logit, label)), rel=1e-6)


@pytest.mark.parametrize("rows", [7, 1000])
def test_evaluation_in_batches_of_any_size(session: Session, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """A trained network's metrics are the same in batches of any size, but for the rounding of its logits."""
    own = dlrm(session)
    network, trainee = own.network, train_standalone(own).trainee
    expected = evaluate_split(session, network, trainee, "test")
    monkeypatch.setitem(EVALUATED_AT_ONCE, "cpu", rows)
    found = evaluate_split(session, network, trainee, "test")
    assert found.auc == pytest.approx(expected.auc, abs=1e-4) and found.rows == expected.rows
    assert found.log_loss == pytest.approx(expected.log_loss, rel=1e-6)


def test_training_is_repeatable(session: Session) -> None:
    """Trained again under another stage's name, a network has the weights that its own stage left, to the last bit."""
    unscaled = dataclasses.replace(session.config.retrain, platt_scaling=False)
    session = dataclasses.replace(session, config=dataclasses.replace(session.config, retrain=unscaled))
    own, other = (dataclasses.replace(dlrm(session), stage="unscaled") for _ in range(2))
    train_standalone(own)
    config = training_config(own.recipe, UpkeepConfig(log_every=2, checkpoint_minutes=0))
    trained, again = (build_trainee(session, one.network, config) for one in (dlrm(session), other))
    load_trained(session, trained, own.stage)
    train_to_end(session, again, config, "retrain/handmade/again")
    for name, parameter in trained.parameters.items():
        assert torch.equal(parameter, again.parameters[name]), name
    for one, other in zip(*(trainee.embeddings.state_dict().values() for trainee in (trained, again)), strict=True):
        assert torch.equal(one.local_shards()[0].tensor, other.local_shards()[0].tensor)


def test_tables_follow_the_recipe(session: Session) -> None:
    """A table a field, as wide as the embeddings; with the recipe's rate; ranks share a step's rows."""
    recipe = TrainingRecipe(table_learning_rate=0.375, batch_size=12)
    tables = new_tables(session, recipe)
    sizes = sorted(tuple(table.shape) for table in tables.state_dict().values())
    assert sizes == sorted((rows, session.config.model.embedding_width) for rows in session.dataset.schema.table_sizes)
    assert {group["lr"] for group in tables.fused_optimizer.param_groups} == {0.375}
    halves = dataclasses.replace(session, processes=dataclasses.replace(session.processes, world_size=2))
    assert (own_batch_size(session, recipe), own_batch_size(halves, recipe)) == (12, 6)
