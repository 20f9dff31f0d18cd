"""Train the supernet: python -m pipeline.train [named run] [--run NAME] [--field value ...]

The stages `train_supernet` and `train_standalone` are what the chain calls; as a program this trains the supernet.
"""

import sys
from dataclasses import dataclass

import numpy
import torch
from torch import nn
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import shard_embeddings
from modules.space import Architecture, single_operator_any_connection
from modules.space.sampling import SAMPLERS, warmed_up
from modules.supernet import Supernet, common_slices, extract
from pipeline.checkpoint import Checkpoints
from pipeline.evaluate import Metrics
from pipeline.files import read_json, write_json
from pipeline.session import Session, run_program
from pipeline.training import (
    StepPaths,
    Trainee,
    TrainingConfig,
    dense_optimizer,
    evaluate,
    load_tables,
    train,
    whole,
)

SUPERNET = "supernet"


@dataclass(frozen=True)
class Trained:
    """A standalone network at the end of its training."""

    trainee: Trainee
    """Its tables and dense parameters."""
    valid: Metrics
    """On the validation rows."""
    test: Metrics
    """On the test rows."""


def train_supernet(session: Session) -> float:
    """Train the supernet to the end; returns its validation log loss. Done before: only reads the result."""
    result = session.run.result(SUPERNET)
    if not _is_trained(session, SUPERNET):
        supernet, trainee = build_supernet(session)
        _train(session, trainee, session.config.supernet, SUPERNET)
        log_loss = validate_supernet(session, supernet, trainee)
        session.processes.on_first(lambda: write_json(result, {"valid_log_loss": log_loss}))
    valid_log_loss: float = session.processes.on_first(lambda: read_json(result))["valid_log_loss"]
    session.say(f"supernet   {session.space.name}: validation log loss {valid_log_loss:.4f} (mean of random paths)")
    return valid_log_loss


def load_supernet(session: Session) -> tuple[Supernet, Trainee]:
    """The trained supernet, from its checkpoint. Raises ValueError when there is none."""
    supernet, trainee = build_supernet(session)
    _load(session, trainee, SUPERNET)
    return supernet, trainee


def train_standalone(session: Session, network: nn.Module, name: str) -> Trained:
    """Train a network from scratch as stage retrain/<name>, to the end; done before: only loads it."""
    stage = f"retrain/{name}"
    result = session.run.result(stage)
    trainee = build_trainee(session, network, session.config.retrain)
    if _is_trained(session, stage):
        _load(session, trainee, stage)
    else:
        _train(session, trainee, session.config.retrain, stage)
        metrics = {split: _evaluate(session, network, trainee, split) for split in ("valid", "test")}
        session.processes.on_first(
            lambda: write_json(result, {split: found.to_json() for split, found in metrics.items()})
        )
    found = session.processes.on_first(lambda: read_json(result))
    return Trained(trainee, Metrics.from_json(found["valid"]), Metrics.from_json(found["test"]))


def build_supernet(session: Session) -> tuple[Supernet, Trainee]:
    """A new supernet and what its training changes; each step draws its paths, the same draws on every rank."""
    config = session.config.supernet
    supernet = Supernet(session.space, session.shape, session.torch_generator("weights", SUPERNET))
    nn.init.zeros_(supernet.parameters_by_name()["head.weight"])  # a random head is noise that training has to undo
    supernet.to(session.processes.device)
    generator = session.numpy_generator("paths")
    sampler = SAMPLERS[config.sampler]

    parameters = supernet.parameters_by_name()
    rank, world_size = session.processes.rank, session.processes.world_size
    own = slice(0, config.paths_per_step)
    if config.distinct_paths:
        own = slice(rank * config.paths_per_step, (rank + 1) * config.paths_per_step)

    def path(step: int) -> StepPaths:
        sample = warmed_up(sampler, step, config.path_warm_up_steps)
        count = config.paths_per_step * (world_size if config.distinct_paths else 1)
        paths = [supernet.path(sample(session.space, generator)) for _ in range(count)]
        return StepPaths(tuple(paths[own]), common_slices(paths, parameters))

    trainee = Trainee(
        embeddings=_embeddings(session, config),
        parameters=parameters,
        path=path,
        optimizer=dense_optimizer(config, parameters),
        generator_state=lambda: generator.bit_generator.state,
        restore_generator=lambda state: setattr(generator.bit_generator, "state", state),
    )
    return supernet, trainee


def build_trainee(session: Session, network: nn.Module, config: TrainingConfig) -> Trainee:
    """New tables beside a standalone network, and what their training changes."""
    network.to(session.processes.device)
    parameters = dict(network.named_parameters())
    return Trainee(
        embeddings=_embeddings(session, config),
        parameters=parameters,
        path=whole(network),
        optimizer=dense_optimizer(config, parameters),
    )


def validation_architectures(session: Session) -> list[Architecture]:
    """The random sub-networks whose mean log loss stands for the supernet's."""
    generator: numpy.random.Generator = session.numpy_generator("validation")
    return [
        single_operator_any_connection(session.space, generator)
        for _ in range(session.config.supernet.validation_paths)
    ]


def validate_supernet(session: Session, supernet: Supernet, trainee: Trainee) -> float:
    """Mean validation log loss of the fixed random sub-networks."""
    losses = [
        _evaluate(session, extract(supernet, architecture), trainee, "valid").log_loss
        for architecture in validation_architectures(session)
    ]
    return sum(losses) / len(losses)


def _embeddings(session: Session, config: TrainingConfig) -> DistributedModelParallel:
    return shard_embeddings(
        session.tables(),
        session.processes.device,
        batch_size=_own_batch_size(session, config),
        learning_rate=config.table_learning_rate,
        epsilon=config.epsilon,
        seed=session.config.seed,
    )


def _own_batch_size(session: Session, config: TrainingConfig) -> int:
    """This rank's share of a step's rows."""
    assert config.batch_size % session.processes.world_size == 0, "the session checks this when it opens"
    return config.batch_size // session.processes.world_size


def _train(session: Session, trainee: Trainee, config: TrainingConfig, stage: str) -> None:
    processes = session.processes
    stream = session.dataset.stream(
        "train",
        batch_size=_own_batch_size(session, config),
        rank=processes.rank,
        world_size=processes.world_size,
        shuffle_seed=session.config.seed,
        epochs=config.epochs,
    )
    train(trainee, stream, config, session.run, stage, processes)


def _is_trained(session: Session, stage: str) -> bool:
    """Whether the stage has left its result and the weights that belong to it; without these it is done again."""
    newest = Checkpoints(session.run.checkpoints(stage), session.processes).newest()
    return newest is not None and session.processes.on_first(session.run.result(stage).exists)


def _load(session: Session, trainee: Trainee, stage: str) -> None:
    checkpoints = Checkpoints(session.run.checkpoints(stage), session.processes)
    newest = checkpoints.newest()
    if newest is None:
        raise ValueError(f"{checkpoints.folder}: no checkpoint; train this stage first (python -m pipeline.train)")
    tensors = trainee.tensors()
    checkpoints.load(newest, tensors)
    load_tables(trainee.embeddings, tensors)


@torch.no_grad()
def _evaluate(session: Session, network: nn.Module, trainee: Trainee, split: str) -> Metrics:
    processes = session.processes
    stream = session.dataset.stream(
        split, batch_size=4096, rank=processes.rank, world_size=processes.world_size, shuffle_seed=None
    )
    return evaluate(network, trainee.embeddings, stream, processes)


if __name__ == "__main__":
    sys.exit(run_program(train_supernet, "pipeline.train"))
