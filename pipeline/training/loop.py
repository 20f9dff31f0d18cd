"""The trainer: one loop for the supernet, a standalone architecture and the baselines.

B batch, I dense inputs, F fields, D embedding width.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torchrec.distributed import DistributedModelParallel
from tqdm import tqdm

from modules.embeddings import embed, set_learning_rate
from modules.supernet import Slice, sum_gradients
from pipeline.data import Batch, Stream
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.folder import MetricsLog, RunFolder
from pipeline.run.processes import Processes
from pipeline.training.config import TrainingConfig
from pipeline.training.metrics import Evaluation, Metrics
from pipeline.training.table_pipeline import Lookups
from pipeline.training.trainee import StepPaths, Trainee


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
