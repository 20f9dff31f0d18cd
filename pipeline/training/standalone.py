"""A standalone network as something to train: an architecture with its recipe and seed, trained from scratch."""

import dataclasses
from dataclasses import dataclass

from torch import nn

from modules.operators import STEP_SHARE
from modules.space import Architecture
from modules.supernet import OwnWeights, Subnet
from modules.table_prior import TablePrior
from pipeline.run.records.recipe import Recipe, TrainingRecipe
from pipeline.run.records.results import Metrics, ModelResult, SplitMetrics, retrain_stage
from pipeline.session import Session
from pipeline.training.config import training_config
from pipeline.training.integers import standardization
from pipeline.training.platt_scaling import apply, fitted
from pipeline.training.row_logits import RowLogits
from pipeline.training.stage import is_trained, load_trained, new_tables, split_logits, train_to_end
from pipeline.training.trainee import Trainee, dense_optimizer, whole

JUDGED = ("valid", "test")
"""The splits whose logits a trained network leaves."""


@dataclass(frozen=True)
class Contender:
    """A network to train from scratch, with one seed."""

    session: Session
    """The run's session with the contender's embedding width and seed."""
    stage: str
    """Its training stage in the run folder."""
    recipe: Recipe
    """How it is trained."""
    network: Subnet
    """Untrained."""


@dataclass(frozen=True)
class Trained:
    """A standalone network at the end of its training."""

    trainee: Trainee
    """Its tables and dense parameters."""
    metrics: SplitMetrics
    """On the validation and test rows."""


def build(
    session: Session, stage: str, name: str, architecture: Architecture, recipe: Recipe, seed: int = 0
) -> Contender:
    """An untrained network; its initial weights follow from the run's seed, its own, and its name."""
    own = with_recipe(session, recipe, seed)
    return Contender(own, stage, recipe, build_network(own, name, architecture))


def build_network(session: Session, name: str, architecture: Architecture) -> Subnet:
    """An untrained network for the session's embedding width; its weights follow from the seed and the name."""
    weights = OwnWeights(session.torch_generator("weights", name), session.config.retrain.layer_norm)
    subnet = Subnet(architecture, session.shape, weights=weights, integers=standardization(session))
    for name, projection in subnet.named_parameters():
        if name.startswith("projections.") and projection.dim() == 2:
            # orthonormal columns: a field's vector is as long at the start as a row of a table that is D wide
            nn.init.orthogonal_(projection, gain=1 / STEP_SHARE, generator=weights.generator)
    nn.init.zeros_(dict(subnet.named_parameters())["head.weight"])  # as the supernet starts
    return subnet


def with_recipe(session: Session, recipe: Recipe, seed: int = 0) -> Session:
    """The session with what a recipe gives networks, and the `seed`-th of the run's seeds for trainings."""
    config = session.config
    model = dataclasses.replace(config.model, embedding_width=recipe.embedding_width, numbers=recipe.numbers)
    return dataclasses.replace(
        session,
        config=dataclasses.replace(config, model=model, seed=config.seed + seed * SEED_DISTANCE),
        table_widths=recipe.table_widths,
    )


SEED_DISTANCE = 7919
"""How far apart the seeds of a model's trainings are, so that runs of neighbouring seeds share none."""


def rebuild(session: Session, model: ModelResult, seed: int = 0) -> Contender:
    """The untrained network of a model in results.json, to load one of its seeds' weights into."""
    stage = retrain_stage(model.kind, model.name, seed)
    return build(session, stage, model.name, model.architecture, model.recipe, seed)


def train_standalone(contender: Contender) -> Trained:
    """Train a network from scratch as its stage, to the end; if that is done, only load it.

    Beside the checkpoint it leaves its metrics, and its logits, so that models can be compared row by row.
    """
    session, stage, network = contender.session, contender.stage, contender.network
    path, config = session.folder.result(stage), training_config(contender.recipe, session.config.retrain)
    trainee = build_trainee(session, network, config)
    if is_trained(session, stage):
        load_trained(session, trainee, stage)
    else:
        train_to_end(
            session,
            trainee,
            config,
            stage,
            validate=lambda: log_loss(session, split_logits(session, network, trainee, "valid"), stage),
            finish=lambda: _rescale(session, split_logits(session, network, trainee, "valid"), trainee, stage),
        )
        session.write(path, SplitMetrics(**{split: _judge(contender, trainee, split) for split in JUDGED}))
    return Trained(trainee, session.read(path, SplitMetrics))


def log_loss(session: Session, rows: RowLogits, where: str) -> float:
    """Log loss of validation rows, which are rank 0's, on every rank: after Platt scaling, unless that is off.

    Raises Diverged, on every rank, where a logit is not finite; `where` names the training.
    """

    def loss() -> float:
        return (fitted(rows, where).of(rows) if session.config.retrain.platt_scaling else rows).metrics().log_loss

    return session.processes.on_first(loss)


def _rescale(session: Session, rows: RowLogits, trainee: Trainee, where: str) -> None:
    """Platt-scale a trained network by its logits of the validation rows, unless that is off."""
    if session.config.retrain.platt_scaling:
        apply(session.processes.on_first(lambda: fitted(rows, where)), trainee.parameters)


def train_with_logits(contender: Contender) -> None:
    """`train_standalone`, and its logits also where it was trained on another number of ranks, which read rows in
    another order."""
    session, stage = contender.session, contender.stage
    if is_trained(session, stage) and has_logits(session, stage):
        return
    trained = train_standalone(contender)
    if not has_logits(session, stage):
        for split in JUDGED:
            _judge(contender, trained.trainee, split)


def _judge(contender: Contender, trainee: Trainee, split: str) -> Metrics:
    """The metrics of a trained network on a split; it leaves the logits."""
    session = contender.session
    found = split_logits(session, contender.network, trainee, split)
    path = session.folder.logits(contender.stage, split, session.processes.world_size)

    def write() -> Metrics:
        found.write(path)
        return found.metrics()

    return session.processes.on_first(write)


def has_logits(session: Session, stage: str) -> bool:
    """Whether the stage has left its logits, in the order in which this number of ranks reads the rows."""
    ranks = session.processes.world_size
    return all(session.exists(session.folder.logits(stage, split, ranks)) for split in JUDGED)


def build_trainee(session: Session, network: nn.Module, config: TrainingRecipe) -> Trainee:
    """New tables beside a standalone network, and what their training changes."""
    network.to(session.processes.device)
    parameters = dict(network.named_parameters())
    embeddings = new_tables(session, config)
    return Trainee(
        embeddings=embeddings,
        parameters=parameters,
        draw_paths=whole(network),
        optimizer=dense_optimizer(config, parameters),
        prior=TablePrior(embeddings, config.table_prior_count, session.lists),
        seed=session.config.seed,
    )
