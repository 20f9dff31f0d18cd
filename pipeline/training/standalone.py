"""A standalone network as something to train: a searched architecture or a baseline, built and trained from scratch."""

from dataclasses import dataclass

from torch import nn

from modules.baselines import BASELINES
from modules.space import Architecture
from modules.supernet import OwnWeights, Subnet
from pipeline.run.files import read_json, write_json
from pipeline.session import Session
from pipeline.training.config import TrainingConfig
from pipeline.training.metrics import Metrics
from pipeline.training.stage import evaluate_split, is_trained, load_trained, new_tables, train_to_end
from pipeline.training.trainee import Trainee, dense_optimizer, whole


@dataclass(frozen=True)
class Contender:
    """A network to train from scratch."""

    name: str
    """Its stage: retrain/<name>."""
    title: str
    """What tables and pictures call it."""
    network: nn.Module
    """Untrained."""
    architecture: Architecture | None
    """None for torchrec's models."""
    supernet_score: float | None
    """Its validation log loss on the supernet's weights; None for a baseline."""


@dataclass(frozen=True)
class Trained:
    """A standalone network at the end of its training."""

    trainee: Trainee
    """Its tables and dense parameters."""
    valid: Metrics
    """On the validation rows."""
    test: Metrics
    """On the test rows."""


def build(
    session: Session, name: str, architecture: Architecture | None = None, score: float | None = None
) -> Contender:
    """An untrained contender by its name."""
    generator = session.torch_generator("weights", name)
    if architecture is not None:
        title = name.replace("_", " ").capitalize()
        weights = OwnWeights(generator, session.config.retrain.layer_norm)
        subnet = Subnet(architecture, session.shape, weights=weights)
        nn.init.zeros_(dict(subnet.named_parameters())["head.weight"])  # as the supernet starts
        return Contender(name, title, subnet, architecture, score)
    baseline = BASELINES[name]
    return Contender(name, baseline.title, baseline.build(session.shape, generator), None, None)


def train_standalone(session: Session, network: nn.Module, name: str) -> Trained:
    """Train a network from scratch as stage retrain/<name>, to the end; done before: only loads it."""
    stage = f"retrain/{name}"
    result = session.run.result(stage)
    trainee = build_trainee(session, network, session.config.retrain)
    if is_trained(session, stage):
        load_trained(session, trainee, stage)
    else:
        train_to_end(session, trainee, session.config.retrain, stage)
        metrics = {split: evaluate_split(session, network, trainee, split) for split in ("valid", "test")}
        session.processes.on_first(
            lambda: write_json(result, {split: found.to_json() for split, found in metrics.items()})
        )
    found = session.processes.on_first(lambda: read_json(result))
    return Trained(trainee, Metrics.from_json(found["valid"]), Metrics.from_json(found["test"]))


def build_trainee(session: Session, network: nn.Module, config: TrainingConfig) -> Trainee:
    """New tables beside a standalone network, and what their training changes."""
    network.to(session.processes.device)
    parameters = dict(network.named_parameters())
    return Trainee(
        embeddings=new_tables(session, config),
        parameters=parameters,
        path=whole(network),
        optimizer=dense_optimizer(config, parameters),
    )
