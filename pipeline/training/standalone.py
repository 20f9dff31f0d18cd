"""A standalone network as something to train: a searched architecture or a baseline, built and trained from scratch."""

from dataclasses import dataclass

from torch import nn

from modules.baselines import BASELINES
from modules.space import Architecture, multiply_accumulates, parameter_count
from modules.supernet import OwnWeights, Subnet
from modules.table_prior import TablePrior
from pipeline.run.records.results import ModelKind, ModelResult, SplitMetrics, retrain_stage
from pipeline.session import Session
from pipeline.training.config import TrainingConfig
from pipeline.training.stage import evaluate_split, is_trained, load_trained, new_tables, train_to_end
from pipeline.training.trainee import Trainee, dense_optimizer, whole


@dataclass(frozen=True)
class Contender:
    """A network to train from scratch."""

    name: str
    """Its name among those of its kind."""
    kind: ModelKind
    """Where it comes from."""
    title: str
    """What tables and pictures call it."""
    network: nn.Module
    """Untrained."""
    architecture: Architecture | None
    """None for a baseline."""
    multiply_accumulates: int
    """Multiply-accumulates per row, embeddings not counted."""
    parameters: int
    """Parameters, embedding tables not counted."""
    supernet_score: float | None = None
    """A winner's validation log loss on the supernet's weights, nats per row."""

    @property
    def stage(self) -> str:
        """Its training stage in the run folder."""
        return retrain_stage(self.kind, self.name)


@dataclass(frozen=True)
class Trained:
    """A standalone network at the end of its training."""

    trainee: Trainee
    """Its tables and dense parameters."""
    metrics: SplitMetrics
    """On the validation and test rows."""


def build_searched(
    session: Session, kind: ModelKind, name: str, architecture: Architecture, score: float | None = None
) -> Contender:
    """An untrained network of a winner or of a given architecture; its initial weights follow from its name."""
    layer_norm = session.config.retrain.layer_norm
    weights = OwnWeights(session.torch_generator("weights", name), layer_norm)
    subnet = Subnet(architecture, session.shape, weights=weights)
    nn.init.zeros_(dict(subnet.named_parameters())["head.weight"])  # as the supernet starts
    return Contender(
        name=name,
        kind=kind,
        title=name.replace("_", " ").capitalize(),
        network=subnet,
        architecture=architecture,
        multiply_accumulates=multiply_accumulates(architecture, session.shape),
        parameters=parameter_count(architecture, session.shape, layer_norm),
        supernet_score=score,
    )


def build_baseline(session: Session, name: str) -> Contender:
    """An untrained baseline of `modules.baselines.BASELINES`; its initial weights follow from its name."""
    baseline = BASELINES[name]
    network = baseline.build(session.shape, session.torch_generator("weights", name))
    return Contender(
        name=name,
        kind="baseline",
        title=baseline.title,
        network=network,
        architecture=None,
        multiply_accumulates=baseline.multiply_accumulates(session.shape),
        parameters=baseline.parameter_count(session.shape),
    )


def rebuild(session: Session, model: ModelResult) -> Contender:
    """The untrained network of a model in results.json, to load its trained weights into."""
    if model.architecture is None:
        return build_baseline(session, model.name)
    return build_searched(session, model.kind, model.name, model.architecture, model.supernet_score)


def train_standalone(session: Session, contender: Contender) -> Trained:
    """Train a network from scratch as its stage, to the end; if that is done, only load it."""
    stage, network = contender.stage, contender.network
    trainee = build_trainee(session, network, session.config.retrain)
    if is_trained(session, stage):
        load_trained(session, trainee, stage)
    else:
        train_to_end(
            session,
            trainee,
            session.config.retrain,
            stage,
            lambda: evaluate_split(session, network, trainee, "valid").log_loss,
        )
        valid, test = (evaluate_split(session, network, trainee, split) for split in ("valid", "test"))
        session.write(session.folder.result(stage), SplitMetrics(valid, test))
    return Trained(trainee, session.read(session.folder.result(stage), SplitMetrics))


def build_trainee(session: Session, network: nn.Module, config: TrainingConfig) -> Trainee:
    """New tables beside a standalone network, and what their training changes."""
    network.to(session.processes.device)
    parameters = dict(network.named_parameters())
    embeddings = new_tables(session, config)
    return Trainee(
        embeddings=embeddings,
        parameters=parameters,
        draw_paths=whole(network),
        optimizer=dense_optimizer(config, parameters),
        prior=TablePrior(embeddings, config.table_prior_count),
        seed=session.config.seed,
    )
