"""A training stage of a run: its tables, its stream of rows, its checkpoints and its evaluation."""

from collections.abc import Callable

from torch import nn
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import shard_embeddings
from pipeline.data import Stream
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.records.recipe import TrainingRecipe
from pipeline.run.records.results import Metrics
from pipeline.session import Session
from pipeline.training.config import TrainingConfig
from pipeline.training.loop import train
from pipeline.training.metrics import evaluate
from pipeline.training.planned_tables import planned
from pipeline.training.row_logits import RowLogits, row_logits
from pipeline.training.trainee import Trainee, load_tables

EVALUATED_AT_ONCE = {"cpu": 1024, "cuda": 4096}
"""Rows of a batch in evaluation, per rank, by the kind of device. On a CPU larger batches leave the caches, and make
the memory of every activation come anew from the system. The metrics do not depend on it, beyond a logit's last bit."""


def new_tables(session: Session, config: TrainingRecipe) -> DistributedModelParallel:
    """New sharded embedding tables with their fused optimizer. Raises ValueError when they do not fit."""
    tables, batch_size = session.tables(), own_batch_size(session, config)
    are_kept = config.tables != "fresh" or config.epochs == 1  # rows drawn anew must not be in a cache already
    return shard_embeddings(
        tables,
        session.processes.device,
        batch_size=batch_size,
        learning_rate=config.table_learning_rate,
        epsilon=config.epsilon,
        seed=session.config.seed,
        plan=planned(session, tables, batch_size, prefetched=are_kept),
    )


def own_batch_size(session: Session, config: TrainingRecipe) -> int:
    """This rank's share of a step's rows."""
    assert config.batch_size % session.processes.world_size == 0, "the session checks this when it opens"
    return config.batch_size // session.processes.world_size


def train_to_end(
    session: Session,
    trainee: Trainee,
    config: TrainingConfig,
    stage: str,
    validate: Callable[[], float] | None = None,
    finish: Callable[[], None] | None = None,
) -> None:
    """Train on the training split to the end of its passes, from the newest checkpoint of the stage.

    `validate()`: the validation log loss, for training that keeps its best pass. `finish()`: changes what is left.
    """
    processes = session.processes
    stream = session.dataset.stream(
        "train",
        batch_size=own_batch_size(session, config),
        rank=processes.rank,
        world_size=processes.world_size,
        shuffle_seed=session.config.seed,
        epochs=config.epochs,
    )
    train(trainee, stream, config, session.folder, stage, processes, validate, finish)


def is_trained(session: Session, stage: str) -> bool:
    """Whether the stage has left its result and the weights that belong to it; otherwise it is done again."""
    newest = Checkpoints(session.folder.checkpoints(stage), session.processes).newest()
    return newest is not None and session.exists(session.folder.result(stage))


def load_trained(session: Session, trainee: Trainee, stage: str) -> None:
    """Load the checkpoint of a stage that has ended. Raises ValueError when there is none."""
    checkpoints = Checkpoints(session.folder.checkpoints(stage), session.processes)
    newest = checkpoints.newest()
    if newest is None:
        raise ValueError(f"{checkpoints.folder}: no checkpoint; train this stage first (python -m pipeline.train)")
    tensors = trainee.tensors()
    if not checkpoints.load(newest, tensors)["is_finished"]:
        result = session.folder.result(stage)
        raise ValueError(f"{newest} is not the end of its training; remove {result} to have it trained to the end")
    load_tables(trainee.embeddings, tensors)


def evaluate_split(session: Session, network: nn.Module, trainee: Trainee, split: str) -> Metrics:
    """Final metrics of a network on a split."""
    return evaluate(network, trainee.embeddings, _judging_stream(session, split), session.processes)


def split_logits(session: Session, network: nn.Module, trainee: Trainee, split: str) -> RowLogits:
    """A network's logits on a split's rows, on rank 0."""
    return row_logits(network, trainee.embeddings, _judging_stream(session, split), session.processes)


def _judging_stream(session: Session, split: str) -> Stream:
    """All rows of a split, in their order, divided among the ranks."""
    processes = session.processes
    batch_size = EVALUATED_AT_ONCE[processes.device.type]
    return session.dataset.stream(split, batch_size, processes.rank, processes.world_size, shuffle_seed=None)
