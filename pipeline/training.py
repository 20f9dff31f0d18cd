"""The trainer: one loop for the supernet, a standalone architecture and the baselines.

What is trained is given as a function `path(step)`: the networks to run on this step's rows, and the slices of weights
that the step may change. A supernet gives other sub-networks each step; everything else gives all of itself.

B batch, I dense inputs, F fields, D embedding width.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torchrec.distributed import DistributedModelParallel
from tqdm import tqdm

from modules.embeddings import embed, set_learning_rate
from modules.supernet import Path, Slice, SlicedAdagrad, SlicedAdam, SlicedOptimizer, SlicedSGD, sum_gradients
from pipeline.checkpoint import Checkpoints
from pipeline.data import Batch, Stream
from pipeline.evaluate import Evaluation, Metrics
from pipeline.lookups import Lookups
from pipeline.processes import Processes
from pipeline.run_folder import MetricsLog, RunFolder


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained; the defaults are the published recipe (search_space.md) where it fits small data."""

    batch_size: int = 256
    """Rows a step over all ranks together; each rank reads its share."""
    epochs: int = 1
    """Passes over the training rows."""
    learning_rate: float = 0.01
    """Peak learning rate of the dense part's Adagrad."""
    initial_square: float = 0.0
    """Where the dense part's Adagrad accumulators start, at least 0. (0.1, TensorFlow's default, tames the first steps
    and then starves the hidden layers, whose gradients are far below it: DECISIONS.md.)"""
    table_learning_rate: float = 0.2
    """Peak learning rate of the tables' row-wise Adagrad."""
    warm_up_share: float = 0.1
    """Share of the steps over which the learning rates rise linearly, 0 to 1."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """After the warm-up: a cosine down to zero, or constant."""
    clip_norm: float = 5.0
    """Largest norm of the dense gradient (the fused tables' gradients are never whole, and not clipped)."""
    epsilon: float = 1e-8
    """Both Adagrads' ε, above 0. (Gradients are means over the batch: with the published 1e-2 a table row, whose
    gradient is about 1e-4, would learn a hundred times too slowly.)"""
    optimizer: Literal["adagrad", "adam", "sgd"] = "adagrad"
    """Of the dense part. Weights that a step's path does not hold rest (modules/supernet/optimizer.py); for Adam that
    is a rule of ours. The tables have TorchRec's fused row-wise Adagrad in any case."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Of the dense part's products in training: tf32 (CUDA only) or bf16 by autocast; weights stay float32."""
    log_every: int = 50
    """Steps between lines in metrics.jsonl."""
    checkpoint_every: int = 200
    """Steps between checkpoints; 0: only at the end."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("learning_rate", "table_learning_rate", "clip_norm", "epsilon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.warm_up_share <= 1:
            raise ValueError(f"warm_up_share is {self.warm_up_share}; it is a share, 0 to 1")
        if self.initial_square < 0:
            raise ValueError(f"initial_square is {self.initial_square}; it must be at least 0")
        if self.checkpoint_every < 0:
            raise ValueError(f"checkpoint_every is {self.checkpoint_every}; use 0 for one checkpoint at the end")


@dataclass(frozen=True)
class StepPaths:
    """What one step trains."""

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
    path: Callable[[int], StepPaths]
    """The networks and slices of a step."""
    optimizer: SlicedOptimizer
    """Updates the slices."""
    generator_state: Callable[[], Any] = lambda: None
    """The state of what `path` draws from."""
    restore_generator: Callable[[Any], None] = lambda state: None
    """Puts such a state back."""

    def tensors(self) -> dict[str, Any]:
        """What torch.distributed.checkpoint saves and loads in place."""
        return {
            "embeddings": self.embeddings.state_dict(),
            "embedding_optimizer": self.embeddings.fused_optimizer.state_dict(),
            "dense": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "dense_optimizer": self.optimizer.state_dict(),
        }


def whole(network: nn.Module) -> Callable[[int], StepPaths]:
    """The path of a standalone network: all of it, each step."""
    slices = tuple(Slice(name, (), parameter) for name, parameter in network.named_parameters())
    paths = StepPaths((Path(network, slices),), slices)
    return lambda step: paths


def dense_optimizer(config: TrainingConfig, parameters: Mapping[str, Tensor]) -> SlicedOptimizer:
    """The configured optimizer of the dense part."""
    match config.optimizer:
        case "adagrad":
            return SlicedAdagrad(parameters, config.epsilon, config.initial_square)
        case "adam":
            return SlicedAdam(parameters, config.epsilon)
        case "sgd":
            return SlicedSGD()


@contextlib.contextmanager
def matrix_precision(config: TrainingConfig, device: torch.device) -> Iterator[None]:
    """Products of the configured precision inside the block. Raises ValueError for tf32 where there is none."""
    if config.precision == "tf32" and device.type != "cuda":
        raise ValueError(f"precision is tf32, which only CUDA has; this run is on {device.type}: use float32 or bf16")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if config.precision == "tf32" else before)
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def learning_rate_factor(config: TrainingConfig, step: int, total_steps: int) -> float:
    """Share of the peak learning rates at a step: linear warm-up, then cosine to zero or constant.

    >>> config = TrainingConfig(warm_up_share=0.1)
    >>> [round(learning_rate_factor(config, step, 100), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm_up_steps = max(1, round(config.warm_up_share * total_steps))
    if step < warm_up_steps:
        return (step + 1) / warm_up_steps
    if config.schedule == "constant":
        return 1.0
    share = (step - warm_up_steps) / max(1, total_steps - warm_up_steps)
    return 0.5 * (1 + math.cos(math.pi * share))


def train(
    trainee: Trainee, stream: Stream, config: TrainingConfig, run: RunFolder, stage: str, processes: Processes
) -> None:
    """Train to the end of the stream, from the newest checkpoint if there is one; leaves a checkpoint at the end."""
    checkpoints = Checkpoints(run.checkpoints(stage), processes)
    step, loss_sum, losses = _resume(trainee, stream, checkpoints)
    total_steps = len(stream)
    log = MetricsLog(run, stage, step) if processes.is_first else None
    progress = tqdm(total=total_steps, initial=step, desc=stage, unit="step", disable=not processes.is_first)
    lookups = Lookups(trainee.embeddings, stream, stream.state_dict, processes.device)
    while step < total_steps:
        factor = learning_rate_factor(config, step, total_steps)
        loss_sum = loss_sum + train_step(trainee, trainee.path(step), lookups, config, factor, processes)
        step, losses = step + 1, losses + 1
        progress.update()
        if step % config.log_every == 0 or step == total_steps:
            mean_loss = processes.mean(loss_sum / losses)
            if not math.isfinite(mean_loss):
                raise ValueError(f"{stage}: the loss is {mean_loss} at step {step}; lower the learning rates")
            progress.set_postfix_str(f"log loss {mean_loss:.4f}")
            if log is not None:
                rows = step * config.batch_size
                rate = factor * config.learning_rate
                log.write({"step": step, "rows": rows, "train_log_loss": mean_loss, "learning_rate": rate})
            loss_sum, losses = torch.zeros_like(loss_sum), 0
        if (config.checkpoint_every and step % config.checkpoint_every == 0) or step == total_steps:
            _save(trainee, lookups, checkpoints, step, float(loss_sum), losses)
    lookups.close()
    progress.close()
    if log is not None:
        log.close()


def train_step(
    trainee: Trainee, step: StepPaths, lookups: Lookups, config: TrainingConfig, factor: float, processes: Processes
) -> Tensor:
    """One step on the next of this rank's batches at a share of the peak learning rates; returns its mean log loss,
    detached. One lookup serves all paths, and its backward updates the tables."""
    set_learning_rate(trainee.embeddings, factor * config.table_learning_rate)
    return lookups.step(lambda batch, embedded: dense_step(trainee, step, batch, embedded, config, factor, processes))


def dense_step(
    trainee: Trainee,
    step: StepPaths,
    batch: Batch,
    embedded: Tensor,
    config: TrainingConfig,
    factor: float,
    processes: Processes,
) -> tuple[Tensor, Tensor]:
    """The dense part's share of a step: the slices' gradients are averaged over paths and ranks, clipped and applied.

    Returns the mean log loss, detached, and its gradient by embedded [B, F, D], a leaf.
    """
    mean_loss = torch.zeros((), device=processes.device)
    with matrix_precision(config, processes.device):
        for path in step.paths:  # one after the other, so that only one's activations are held
            logit = path.network(batch.dense, embedded).float()
            loss = binary_cross_entropy_with_logits(logit, batch.label) / len(step.paths)
            loss.backward()
            mean_loss += loss.detach()
    if step.slices is not step.paths[0].slices:
        sum_gradients(step.paths, step.slices)
    average_gradients(step.slices, processes)
    nn.utils.clip_grad_norm_([part.leaf for part in step.slices], config.clip_norm)
    trainee.optimizer.step(step.slices, factor * config.learning_rate)
    return mean_loss, torch.zeros_like(embedded) if embedded.grad is None else embedded.grad


def average_gradients(slices: Iterable[Slice], processes: Processes) -> None:
    """Average the slices' gradients over ranks in one flat all-reduce of exactly the active weights."""
    if processes.world_size == 1:
        return
    gradients = []
    for part in slices:  # every rank sends every slice, whatever its own path used
        part.leaf.grad = torch.zeros_like(part.leaf) if part.leaf.grad is None else part.leaf.grad
        gradients.append(part.leaf.grad)
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= processes.world_size
    for gradient, averaged in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(averaged.view_as(gradient))


@torch.no_grad()
def evaluate(network: nn.Module, embeddings: DistributedModelParallel, stream: Stream, processes: Processes) -> Metrics:
    """Final metrics of a standalone network on a split; every rank calls it and gets the same."""
    evaluation = Evaluation()
    for batch in stream:
        batch = batch.to(processes.device)
        evaluation.add(network(batch.dense, embed(embeddings, batch.sparse)), batch.label)
    return evaluation.metrics()


def _resume(trainee: Trainee, stream: Stream, checkpoints: Checkpoints) -> tuple[int, Tensor, int]:
    """Load the newest checkpoint, if any: steps done, and the running sum and number of losses since the last line."""
    zero = torch.zeros((), device=checkpoints.processes.device)
    newest = checkpoints.newest()
    if newest is None:
        return 0, zero, 0
    tensors = trainee.tensors()
    progress = checkpoints.load(newest, tensors)
    load_tables(trainee.embeddings, tensors)
    stream.load_state_dict(progress["stream"])
    trainee.restore_generator(progress["generator"])
    sums = progress["loss_sum"]  # a rank's each; on another number of ranks their mean stands for all
    world_size, rank = checkpoints.processes.world_size, checkpoints.processes.rank
    loss_sum = sums[rank] if len(sums) == world_size else sum(sums) / len(sums)
    return progress["step"], zero + loss_sum, progress["losses"]


def load_tables(embeddings: DistributedModelParallel, tensors: dict[str, Any]) -> None:
    """Put loaded tables and their optimizer's state back (the dense tensors were loaded in place)."""
    embeddings.load_state_dict(tensors["embeddings"])
    embeddings.fused_optimizer.load_state_dict(tensors["embedding_optimizer"])


def _save(
    trainee: Trainee, lookups: Lookups, checkpoints: Checkpoints, step: int, loss_sum: float, losses: int
) -> None:
    progress = {
        "step": step,
        "stream": lookups.state_dict(),
        "generator": trainee.generator_state(),
        "loss_sum": checkpoints.processes.gather(loss_sum),
        "losses": losses,
    }
    checkpoints.save(step, trainee.tensors(), progress)
