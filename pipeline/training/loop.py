"""The training loop: one for the supernet and standalone networks.

B batch, I dense inputs, F fields, D embedding width.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.embeddings import set_learning_rate
from modules.supernet import Slice, sum_gradients
from pipeline.data import Batch, Stream
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.folder import RunFolder
from pipeline.run.metrics_log import MetricsLog
from pipeline.run.processes import Processes
from pipeline.run.progress_bar import progress_bar
from pipeline.run.records.progress import MetricsLine
from pipeline.run.records.recipe import TrainingRecipe
from pipeline.training.best_pass import BestPass
from pipeline.training.config import TrainingConfig
from pipeline.training.diverged import check_finite, diverged
from pipeline.training.schedule import LearningRates, learning_rates
from pipeline.training.table_pipeline import TablePipeline
from pipeline.training.trainee import StepPaths, Trainee, load_tables


def train(
    trainee: Trainee,
    stream: Stream,
    config: TrainingConfig,
    folder: RunFolder,
    stage: str,
    processes: Processes,
    validate: Callable[[], float] | None = None,
    finish: Callable[[], None] | None = None,
) -> None:
    """Train to the end of the stream, from the newest checkpoint if there is one; leaves a checkpoint at the end.

    With `keep_best_pass`, `validate()` gives the validation log loss after each pass, and what is left at the end is
    the best pass; training ends with the first pass that is worse. `finish()` changes the trained weights once, before
    they are saved. Raises Diverged, on every rank, when the training diverges; no checkpoint holds what is not finite,
    so the last one stays.
    """
    checkpoints = Checkpoints(folder.checkpoints(stage), processes)
    step, losses, best, is_finished = _resume(trainee, stream, checkpoints)
    if is_finished:
        best.drop(checkpoints)
        return
    total_steps, pass_steps = len(stream), len(stream) // config.epochs
    log = MetricsLog(folder, stage, step) if processes.is_first else None
    progress = progress_bar(total=total_steps, initial=step, desc=stage, unit="step", disable=not processes.is_first)
    tables = TablePipeline(trainee.embeddings, stream, stream.state_dict, processes.device)
    with contextlib.ExitStack() as held:
        for opened in (tables, progress, log):
            if opened is not None:
                held.callback(opened.close)
        while step < total_steps and not best.is_over:
            if step % pass_steps == 0:
                trainee.begin_pass(step // pass_steps, config)
            rates = learning_rates(config, step, pass_steps)
            begin_random_numbers(processes.device, hash((trainee.seed, step, processes.rank)) & (2**63 - 1))
            losses.add(train_step(trainee, trainee.draw_paths(step), tables, config, rates, processes))
            step += 1
            progress.update()
            is_judged = config.keep_best_pass and step % pass_steps == 0
            is_saved = step == total_steps or (config.checkpoint_every and step % config.checkpoint_every == 0)
            if is_judged or is_saved:
                check_finite(trainee, losses.total, f"{stage}, step {step}", processes)
            if step % config.log_every == 0 or step == total_steps:
                mean_loss = losses.take_mean(processes)
                if not math.isfinite(mean_loss):
                    raise diverged(f"{stage}, step {step}")
                progress.set_postfix_str(f"log loss {mean_loss:.4f}")
                if log is not None:
                    log.write(MetricsLine(stage, step, step * config.batch_size, mean_loss, rates.dense))
            if is_judged:
                assert validate is not None, "keep_best_pass needs validation rows"
                best.take(validate(), step, trainee, checkpoints)
            if is_saved and step < total_steps and not best.is_over:
                _save(trainee, tables, checkpoints, step, losses, best)
        best.restore(trainee, checkpoints)
        if finish is not None:
            finish()
        _save(trainee, tables, checkpoints, step, losses, best, is_finished=True)
        best.drop(checkpoints)


def begin_random_numbers(device: torch.device, seed: int) -> None:
    """Begin the random numbers that dropout draws, where no generator is given, anew.

    torch.manual_seed does the same, and for each kind of device that is not in use takes down who called it, in half a
    millisecond of every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


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
    config: TrainingRecipe,
    rates: LearningRates,
    processes: Processes,
) -> Tensor:
    """One step on the next of this rank's batches; returns its mean log loss, detached, as `dense_step` does.

    One lookup serves all paths, and its backward updates the tables.
    """
    set_learning_rate(trainee.embeddings, rates.tables)

    def dense_part(batch: Batch, embedded: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = dense_step(trainee, drawn, batch, embedded, config, rates.dense, processes)
        trainee.prior.observe(gradient)
        return loss, gradient

    return tables.train_next(dense_part)


def dense_step(
    trainee: Trainee,
    drawn: StepPaths,
    batch: Batch,
    embedded: Tensor,
    config: TrainingRecipe,
    learning_rate: float,
    processes: Processes,
) -> tuple[Tensor, Tensor]:
    """The dense part's share of a step: the slices' gradients are averaged over paths and ranks, clipped and applied.

    Returns the mean log loss, detached, and its gradient by embedded [B, F, D], a leaf. The loss is NaN where the
    gradient's norm is not finite: so a sum of losses tells, without waiting for the GPU at any step, what diverged.
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
    norm = nn.utils.clip_grad_norm_([part.leaf for part in drawn.slices], config.clip_norm)
    trainee.optimizer.step(drawn.slices, learning_rate)
    mean_loss = torch.where(norm.isfinite(), mean_loss, torch.nan)
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
    distributed.all_reduce(flat, group=processes.dense_group)
    flat /= processes.world_size
    for gradient, averaged in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(averaged.view_as(gradient))


@contextlib.contextmanager
def matrix_precision(config: TrainingRecipe, device: torch.device) -> Iterator[None]:
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


def _resume(trainee: Trainee, stream: Stream, checkpoints: Checkpoints) -> tuple[int, RunningLoss, BestPass, bool]:
    """Load the newest checkpoint, if any: steps done, the losses since the last line of metrics, the best pass, and
    whether training is over."""
    zero = torch.zeros((), device=checkpoints.processes.device)
    newest = checkpoints.newest()
    if newest is None:
        return 0, RunningLoss(zero), BestPass(), False
    tensors = trainee.tensors()
    progress = checkpoints.load(newest, tensors)
    load_tables(trainee.embeddings, tensors)
    stream.load_state_dict(progress["stream"])
    trainee.restore_generator(progress["generator"])
    trainee.prior.load_state_dict(progress["prior"])
    sums = progress["loss_sum"]  # one per rank; on another number of ranks their mean stands for each
    world_size, rank = checkpoints.processes.world_size, checkpoints.processes.rank
    loss_sum = sums[rank] if len(sums) == world_size else sum(sums) / len(sums)
    running = RunningLoss(zero + loss_sum, progress["losses"])
    return progress["step"], running, BestPass(**progress["best"]), progress["is_finished"]


def _save(
    trainee: Trainee,
    tables: TablePipeline,
    checkpoints: Checkpoints,
    step: int,
    losses: RunningLoss,
    best: BestPass,
    is_finished: bool = False,
) -> None:
    progress = {
        "step": step,
        "stream": tables.state_dict(),
        "generator": trainee.generator_state(),
        "prior": trainee.prior.state_dict(),
        "loss_sum": checkpoints.processes.gather(float(losses.total)),
        "losses": losses.count,
        "best": dataclasses.asdict(best),
        "is_finished": is_finished,
    }
    checkpoints.save(step, trainee.tensors(), progress)
