"""What training changes, and what one step of it trains.

What a training step trains is returned by `Trainee.draw_paths(step)`: the networks to run on this step's rows, and the
slices of weights that the step may change. A supernet draws new sub-networks each step; a standalone network returns
the whole of itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import draw_tables_anew, forget_cached_rows
from modules.supernet import Path, Slice, SlicedAdagrad, SlicedAdam, SlicedOptimizer, SlicedSGD
from modules.table_prior import TablePrior
from pipeline.run.records.recipe import TrainingRecipe


@dataclass(frozen=True)
class StepPaths:
    """What one training step trains."""

    paths: tuple[Path, ...]
    """The networks that this rank runs; the step's loss is the mean of theirs."""
    slices: tuple[Slice, ...]
    """All weights that the step changes on any rank: the same, in the same order, on every rank."""


@dataclass
class Trainee:
    """Everything that training changes, and so everything that a checkpoint holds."""

    embeddings: DistributedModelParallel
    """The sharded tables with their fused optimizer."""
    parameters: Mapping[str, nn.Parameter]
    """The dense parameters by name: equal on every rank."""
    draw_paths: Callable[[int], StepPaths]
    """The networks and slices of a training step."""
    optimizer: SlicedOptimizer
    """Updates the slices."""
    prior: TablePrior
    """What the tables' accumulators hold beside what they have seen."""
    seed: int = 0
    """Of the tables' contents and of dropout, at least 0."""
    generator_state: Callable[[], Any] = lambda: None
    """The state of the generator that `draw_paths` draws from."""
    restore_generator: Callable[[Any], None] = lambda state: None
    """Restores such a state."""

    def begin_pass(self, number: int, config: TrainingRecipe) -> None:
        """Prepare the pass of this number, from 0: tables that are not kept are drawn anew."""
        if number and config.tables == "fresh":
            draw_tables_anew(self.embeddings, self.seed, number)
            self.prior.begin_anew()

    def tensors(self) -> dict[str, Any]:
        """What torch.distributed.checkpoint saves and loads in place."""
        return {
            "embeddings": self.embeddings.state_dict(),
            "embedding_optimizer": self.embeddings.fused_optimizer.state_dict(),
            "dense": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "dense_optimizer": self.optimizer.state_dict(),
        }


def load_tables(embeddings: DistributedModelParallel, tensors: dict[str, Any]) -> None:
    """Put loaded tables and their optimizer's state back (the dense tensors were loaded in place)."""
    embeddings.load_state_dict(tensors["embeddings"])
    embeddings.fused_optimizer.load_state_dict(tensors["embedding_optimizer"])
    forget_cached_rows(embeddings)


def whole(network: nn.Module) -> Callable[[int], StepPaths]:
    """The `draw_paths` of a standalone network: all of it, in each step."""
    slices = tuple(Slice(name, (), parameter) for name, parameter in network.named_parameters())
    paths = StepPaths((Path(network, slices),), slices)
    return lambda step: paths


def dense_optimizer(config: TrainingRecipe, parameters: Mapping[str, Tensor]) -> SlicedOptimizer:
    """The configured optimizer of the dense part."""
    match config.optimizer:
        case "adagrad":
            return SlicedAdagrad(parameters, config.epsilon, config.initial_square, config.reference_inputs)
        case "adam":
            return SlicedAdam(parameters, config.epsilon, reference_inputs=config.reference_inputs)
        case "sgd":
            return SlicedSGD(config.reference_inputs)
