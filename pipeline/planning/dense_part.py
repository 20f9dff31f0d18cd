"""The dense part of a supernet's step, sized: its weights, what a step sends and keeps, what it multiplies.

The paths are drawn as training draws them, and what autograd keeps for the backward is counted, not estimated.

B batch.
"""

from dataclasses import dataclass

import numpy
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils._python_dispatch import TorchDispatchMode

from modules.space import InputShape, SearchSpace, multiply_accumulates
from modules.space.sampling import SAMPLERS
from modules.supernet import Path, SlicedOptimizer, Supernet, common_slices
from pipeline.config import SupernetConfig
from pipeline.training.trainee import dense_optimizer

DRAWN_STEPS = 24
"""Steps whose paths are drawn to size them."""

STATES_A_WEIGHT = {"adagrad": 1, "adam": 2, "sgd": 0}
"""Numbers that each optimizer keeps beside a weight."""


@dataclass(frozen=True)
class DensePart:
    """What the supernet's dense part takes; it is whole on every rank."""

    parameters: int
    """Weights of the whole supernet."""
    states_a_weight: int
    """Numbers that its optimizer keeps beside each."""
    active_weights: float
    """Weights that a step changes, the mean: their gradients are all-reduced."""
    most_active_weights: int
    """Of the largest of the drawn steps."""
    kept_bytes_a_row: float
    """Memory that the largest of the drawn paths keeps for its backward, a row of the batch."""
    multiply_accumulates: float
    """Of all paths of a step on one row, forward, the mean."""
    launches: float
    """Operators of a step that compute something, about as many as kernels, the mean."""

    @property
    def bytes(self) -> int:
        """Of weights, optimizer's states and the largest step's gradients, which are also copied to be sent."""
        return 4 * (self.parameters * (1 + self.states_a_weight) + 2 * self.most_active_weights)

    def activation_bytes(self, batch_size: int) -> int:
        """Kept for the backward of so many rows."""
        return round(self.kept_bytes_a_row * batch_size)


def dense_part(space: SearchSpace, shape: InputShape, config: SupernetConfig, world_size: int, seed: int) -> DensePart:
    """The dense part of the supernet's steps on so many ranks."""
    supernet = Supernet(space, shape)
    optimizer = dense_optimizer(config, supernet.parameters_by_name())
    parameters, sample = supernet.parameters_by_name(), SAMPLERS[config.sampler]
    draws = numpy.random.default_rng(seed)
    count = config.paths_per_step * (world_size if config.distinct_paths else 1)
    active, kept, multiplied, launches = [], [], [], []
    for _ in range(DRAWN_STEPS):
        architectures = [sample(space, draws) for _ in range(count)]
        paths = [supernet.path(architecture) for architecture in architectures]
        active.append(sum(part.leaf.numel() for part in common_slices(paths, parameters)))
        kept.append(_kept_bytes_a_row(paths[0].network, shape))
        launches.append(config.paths_per_step * _launches(paths[0], optimizer, config, shape))
        mean = sum(multiply_accumulates(architecture, shape) for architecture in architectures) / count
        multiplied.append(mean * config.paths_per_step)
    return DensePart(
        parameters=sum(parameter.numel() for parameter in parameters.values()),
        states_a_weight=STATES_A_WEIGHT[config.optimizer],
        active_weights=sum(active) / len(active),
        most_active_weights=max(active),
        kept_bytes_a_row=max(kept),
        multiply_accumulates=sum(multiplied) / len(multiplied),
        launches=sum(launches) / len(launches),
    )


class _Computing(TorchDispatchMode):
    """Counts the operators that write memory: those whose outputs are views of their inputs launch nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += not func.is_view and func is not torch.ops.aten.detach.default
        return func(*args, **(kwargs or {}))


def _launches(path: Path, optimizer: SlicedOptimizer, config: SupernetConfig, shape: InputShape) -> int:
    """Computing operators of one path's forward, backward, clipping and update, on two rows."""
    with _Computing() as computing:
        embedded = torch.zeros(2, shape.fields, shape.embedding_width, requires_grad=True)
        logit = path.network(torch.zeros(2, shape.integers), embedded)
        binary_cross_entropy_with_logits(logit, torch.zeros(2)).backward()
        nn.utils.clip_grad_norm_([part.leaf for part in path.slices], config.clip_norm)
        optimizer.step(path.slices, 0.0)
    return computing.count


def _kept_bytes_a_row(network: nn.Module, shape: InputShape) -> float:
    """What autograd keeps of a forward grows with the rows by this; the rest of what it keeps are weights."""
    few, many = 2, 6
    return (_kept_bytes(network, shape, many) - _kept_bytes(network, shape, few)) / (many - few)


def _kept_bytes(network: nn.Module, shape: InputShape, rows: int) -> int:
    """Bytes of the tensors that autograd keeps of a forward over so many rows, each memory counted once."""
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        embedded = torch.zeros(rows, shape.fields, shape.embedding_width, requires_grad=True)
        network(torch.zeros(rows, shape.integers), embedded)
    return sum(kept.values())
