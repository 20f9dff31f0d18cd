"""The training loop: one for the supernet, standalone architectures and baselines.

B batch, I dense inputs, F fields, D embedding width.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torchrec.distributed import DistributedModelParallel
from tqdm import tqdm

from modules.embeddings import set_learning_rate
from modules.supernet import Slice, sum_gradients
from pipeline.data import Batch, Stream
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.folder import RunFolder
from pipeline.run.metrics_log import MetricsLog
from pipeline.run.processes import Processes
from pipeline.run.records.progress import MetricsLine
from pipeline.training.config import TrainingConfig
from pipeline.training.table_pipeline import TablePipeline
from pipeline.training.trainee import StepPaths, Trainee


def train(
    trainee: Trainee, stream: Stream, config: TrainingConfig, folder: RunFolder, stage: str, processes: Processes
) -> None:
    """Train to the end of the stream, from the newest checkpoint if there is one; leaves a checkpoint at the end."""
    checkpoints = Checkpoints(folder.checkpoints(stage), processes)
    step, losses = _resume(trainee, stream, checkpoints)
    total_steps = len(stream)
    log = MetricsLog(folder, stage, step) if processes.is_first else None
    progress = tqdm(total=total_steps, initial=step, desc=stage, unit="step", disable=not processes.is_first)
    tables = TablePipeline(trainee.embeddings, stream, stream.state_dict, processes.device)
    while step < total_steps:
        factor = learning_rate_factor(config, step, total_steps)
        losses.add(train_step(trainee, trainee.draw_paths(step), tables, config, factor, processes))
        step += 1
        progress.update()
        if step % config.log_every == 0 or step == total_steps:
            mean_loss = losses.take_mean(processes)
            if not math.isfinite(mean_loss):
                raise ValueError(f"{stage}: the loss is {mean_loss} at step {step}; lower the learning rates")
            progress.set_postfix_str(f"log loss {mean_loss:.4f}")
            if log is not None:
                log.write(MetricsLine(stage, step, step * config.batch_size, mean_loss, factor * config.learning_rate))
        if (config.checkpoint_every and step % config.checkpoint_every == 0) or step == total_steps:
            _save(trainee, tables, checkpoints, step, losses)
    tables.close()
    progress.close()
    if log is not None:
        log.close()


@dataclass
class RunningLoss:
    """This rank's losses since the last line of metrics.jsonl."""

    total: Tensor
    """Their sum: a scalar on the device, so that no step waits for the GPU."""
    count: int = 0
    """How many."""

    def add(self, loss: Tensor) -> None:
        """Add one step's loss."""
        self.total, self.count = self.total + loss, self.count + 1

    def take_mean(self, processes: Processes) -> float:
        """Their mean over all ranks; begins again at zero."""
        mean = processes.mean(self.total / self.count)
        self.total, self.count = torch.zeros_like(self.total), 0
        return mean


def train_step(
    trainee: Trainee,
    drawn: StepPaths,
    tables: TablePipeline,
    config: TrainingConfig,
    factor: float,
    processes: Processes,
) -> Tensor:
    """One step on the next of this rank's batches at a share of the peak learning rates; returns its mean log loss,
    detached. One lookup serves all paths, and its backward updates the tables."""
    set_learning_rate(trainee.embeddings, factor * config.table_learning_rate)
    return tables.train_next(
        lambda batch, embedded: dense_step(trainee, drawn, batch, embedded, config, factor, processes)
    )


def dense_step(
    trainee: Trainee,
    drawn: StepPaths,
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
        for path in drawn.paths:  # one after the other, so that the activations of only one are held
            logit = path.network(batch.dense, embedded).float()
            loss = binary_cross_entropy_with_logits(logit, batch.label) / len(drawn.paths)
            loss.backward()
            mean_loss += loss.detach()
    if drawn.slices is not drawn.paths[0].slices:
        sum_gradients(drawn.paths, drawn.slices)
    average_gradients(drawn.slices, processes)
    nn.utils.clip_grad_norm_([part.leaf for part in drawn.slices], config.clip_norm)
    trainee.optimizer.step(drawn.slices, factor * config.learning_rate)
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


def _resume(trainee: Trainee, stream: Stream, checkpoints: Checkpoints) -> tuple[int, RunningLoss]:
    """Load the newest checkpoint, if any: steps done, and the losses since the last line of metrics."""
    zero = torch.zeros((), device=checkpoints.processes.device)
    newest = checkpoints.newest()
    if newest is None:
        return 0, RunningLoss(zero)
    tensors = trainee.tensors()
    progress = checkpoints.load(newest, tensors)
    load_tables(trainee.embeddings, tensors)
    stream.load_state_dict(progress["stream"])
    trainee.restore_generator(progress["generator"])
    sums = progress["loss_sum"]  # one per rank; on another number of ranks their mean stands for each
    world_size, rank = checkpoints.processes.world_size, checkpoints.processes.rank
    loss_sum = sums[rank] if len(sums) == world_size else sum(sums) / len(sums)
    return progress["step"], RunningLoss(zero + loss_sum, progress["losses"])


def load_tables(embeddings: DistributedModelParallel, tensors: dict[str, Any]) -> None:
    """Put loaded tables and their optimizer's state back (the dense tensors were loaded in place)."""
    embeddings.load_state_dict(tensors["embeddings"])
    embeddings.fused_optimizer.load_state_dict(tensors["embedding_optimizer"])


def _save(trainee: Trainee, tables: TablePipeline, checkpoints: Checkpoints, step: int, losses: RunningLoss) -> None:
    progress = {
        "step": step,
        "stream": tables.state_dict(),
        "generator": trainee.generator_state(),
        "loss_sum": checkpoints.processes.gather(float(losses.total)),
        "losses": losses.count,
    }
    checkpoints.save(step, trainee.tensors(), progress)
