"""The supernet as something to train: built, its paths drawn, validated on fixed random sub-networks, loaded again."""

import numpy
from torch import nn

from modules.space import Architecture, single_operator_any_connection
from modules.space.sampling import SAMPLERS, warmed_up
from modules.supernet import Supernet, common_slices, extract
from modules.table_prior import TablePrior
from pipeline.session import Session
from pipeline.training.integers import standardization
from pipeline.training.stage import evaluate_split, load_trained, new_tables
from pipeline.training.trainee import StepPaths, Trainee, dense_optimizer

SUPERNET = "supernet"
"""The stage's name in the run folder."""


def build_supernet(session: Session) -> tuple[Supernet, Trainee]:
    """A new supernet and what its training changes; each step draws its paths, the same draws on every rank."""
    config = session.config.supernet
    generator = session.torch_generator("weights", SUPERNET)
    supernet = Supernet(session.space, session.shape, generator, standardization(session))
    nn.init.zeros_(supernet.parameters_by_name()["head.weight"])  # a random head is noise that training has to undo
    supernet.to(session.processes.device)
    draws = session.numpy_generator("paths")
    sampler = SAMPLERS[config.sampler]

    parameters = supernet.parameters_by_name()
    rank, world_size = session.processes.rank, session.processes.world_size
    own = slice(0, config.paths_per_step)
    if config.distinct_paths:
        own = slice(rank * config.paths_per_step, (rank + 1) * config.paths_per_step)

    def draw_paths(step: int) -> StepPaths:
        sample = warmed_up(sampler, step, config.path_warm_up_steps)
        count = config.paths_per_step * (world_size if config.distinct_paths else 1)
        paths = [supernet.path(sample(session.space, draws)) for _ in range(count)]
        return StepPaths(tuple(paths[own]), common_slices(paths, parameters))

    embeddings = new_tables(session, config)
    trainee = Trainee(
        embeddings=embeddings,
        parameters=parameters,
        draw_paths=draw_paths,
        optimizer=dense_optimizer(config, parameters),
        prior=TablePrior(embeddings, config.table_prior_count, session.lists),
        seed=session.config.seed,
        generator_state=lambda: draws.bit_generator.state,
        restore_generator=lambda state: setattr(draws.bit_generator, "state", state),
    )
    return supernet, trainee


def load_supernet(session: Session, stage: str = SUPERNET) -> tuple[Supernet, Trainee]:
    """The trained supernet, from its stage's checkpoint. Raises ValueError when there is none."""
    supernet, trainee = build_supernet(session)
    load_trained(session, trainee, stage)
    return supernet, trainee


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
        evaluate_split(session, extract(supernet, architecture), trainee, "valid").log_loss
        for architecture in validation_architectures(session)
    ]
    return sum(losses) / len(losses)
