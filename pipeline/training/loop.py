"""The training loop: one for the supernet and standalone networks.

B batch, I dense inputs, F fields, D embedding width.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.embeddings import set_learning_rate
from modules.operators.low_bit import INPUT_RANGE
from modules.supernet import Slice, sum_gradients
from pipeline.data import Batch, Stream
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.folder import RunFolder
from pipeline.run.metrics_log import MetricsLog
from pipeline.run.processes import Processes
from pipeline.run.progress_bar import progress_bar
from pipeline.run.records.progress import MetricsLine
from pipeline.run.records.recipe import TrainingRecipe
from pipeline.run.stopping import Stopped, held_back
from pipeline.training.config import TrainingConfig
from pipeline.training.diverged import check_finite, diverged
from pipeline.training.progress import Progress, as_plain, resumed
from pipeline.training.row_weights import batch_factors
from pipeline.training.schedule import LearningRates, learning_rates
from pipeline.training.spikes import Guard, Spike
from pipeline.training.table_pipeline import TablePipeline
from pipeline.training.trainee import StepPaths, Trainee
from pipeline.training.upkeep import Upkeep, warn

Accepts = Callable[[Tensor], bool]
"""(this rank's mean loss) → whether the step's gradients are applied; the same on every rank."""


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
    """Train to the end of the stream, from the newest checkpoint if there is one; leaves one checkpoint at the end.

    With `keep_best_pass`, `validate()` gives the validation log loss after each pass, and what is left at the end is
    the best pass; training ends with the first pass that is worse. `finish()` changes the trained weights once, before
    they are saved. Raises Diverged, on every rank, when the training diverges; no checkpoint holds what is not finite,
    so the last one stays. Raises Stopped, on every rank and behind a checkpoint, after any rank got SIGTERM.
    """
    guard = Guard(stage, config, processes, len(stream) // config.epochs, len(stream))
    checkpoints = Checkpoints(folder.checkpoints(stage), processes)
    training = _Training(trainee, stream, config, folder, stage, processes, checkpoints, guard, validate, finish)
    with held_back(), contextlib.closing(Upkeep(checkpoints, config.checkpoint_minutes)) as upkeep:
        while not training.is_done(upkeep):
            pass
        if upkeep.agree(guard.total_steps, at_once=True).is_stopping:
            raise Stopped


@dataclass
class _Training:
    """One call of `train`."""

    trainee: Trainee
    stream: Stream
    config: TrainingConfig
    folder: RunFolder
    stage: str
    processes: Processes
    checkpoints: Checkpoints
    guard: Guard
    validate: Callable[[], float] | None
    finish: Callable[[], None] | None

    def is_done(self, upkeep: Upkeep) -> bool:
        """Train from the newest checkpoint to the end; False where a spike asks to do that again without its step."""
        progress = resumed(self.trainee, self.stream, self.checkpoints, self.guard)
        if not progress.is_finished:
            position = self.stream.state_dict
            tables = TablePipeline(self.trainee.embeddings, self.stream, position, self.processes.device)
            with contextlib.closing(tables):
                try:
                    self._take_steps(progress, tables, upkeep)
                except Spike as found:
                    self._go_back(found, upkeep)
                    return False
                self._end(progress, tables, upkeep)
        progress.best.drop(self.checkpoints)
        self.checkpoints.keep_newest()
        return True

    def _take_steps(self, progress: Progress, tables: TablePipeline, upkeep: Upkeep) -> None:
        """All steps that remain, with what stands between them."""
        total_steps, is_first = self.guard.total_steps, self.processes.is_first
        log = MetricsLog(self.folder, self.stage, progress.step) if is_first else None
        bar = progress_bar(total=total_steps, initial=progress.step, desc=self.stage, unit="step", disable=not is_first)
        with contextlib.ExitStack() as held:
            for opened in (bar, log):
                if opened is not None:
                    held.callback(opened.close)
            while progress.step < total_steps and not progress.best.is_over:
                self._step(progress, tables)
                bar.update()
                self._after_step(progress, tables, upkeep, bar, log)
            self.processes.on_first(log.flush if log is not None else lambda: None)

    def _step(self, progress: Progress, tables: TablePipeline) -> None:
        """One step."""
        trainee, config, guard, step = self.trainee, self.config, self.guard, progress.step
        if step % guard.pass_steps == 0:
            trainee.begin_pass(step // guard.pass_steps, config)
        rates = learning_rates(config, step, guard.pass_steps)
        begin_random_numbers(self.processes.device, hash((trainee.seed, step, self.processes.rank)) & (2**63 - 1))
        drawn, accepts = trainee.draw_paths(step), guard.accepts(step)
        loss = train_step(trainee, drawn, tables, config, rates, self.processes, accepts)
        if step not in guard.skipped:
            guard.saw(step, loss)
            progress.losses.add(loss)
        elif config.on_spike == "skip" and len(guard.skipped) == 1:
            where = f"{self.stage}, step {step + 1}"
            warn(self.checkpoints, f"{where}: the loss is {float(loss):.4g}; its rows are skipped")
        progress.step += 1

    def _after_step(
        self, progress: Progress, tables: TablePipeline, upkeep: Upkeep, bar: Any, log: MetricsLog | None
    ) -> None:
        """Check, report, judge, save and stop, each where its time has come."""
        step, config = progress.step, self.config
        agreed, is_last = upkeep.agree(step), step == self.guard.total_steps
        is_exact = bool(config.checkpoint_every) and step % config.checkpoint_every == 0
        is_judged = config.keep_best_pass and step % self.guard.pass_steps == 0
        is_saved = is_last or is_exact or agreed.is_saving or agreed.is_stopping
        is_reported = is_last or step % config.log_every == 0
        if is_judged or is_saved or is_reported:
            self.guard.check()
        if is_judged or is_saved:
            check_finite(self.trainee, progress.losses.total, f"{self.stage}, step {step}", self.processes)
        if is_reported:
            self._report(progress, bar, log)
        if is_judged:
            assert self.validate is not None, "keep_best_pass needs validation rows"
            progress.best.take(self.validate(), step, self.trainee, self.checkpoints)
            if progress.best.is_over and not is_reported:
                self._report(progress, bar, log)
        if is_last or progress.best.is_over:
            return
        state = functools.partial(self._held, progress, tables)
        if agreed.is_stopping:
            upkeep.save_now(step, state)
            raise Stopped
        if is_saved:
            upkeep.save(step, state, is_exact)

    def _report(self, progress: Progress, bar: Any, log: MetricsLog | None) -> None:
        """A line of metrics, where a step since the last one was not skipped."""
        step = progress.step
        if not progress.losses.count:
            return
        mean_loss = progress.losses.take_mean(self.processes)
        if not math.isfinite(mean_loss):
            raise diverged(f"{self.stage}, step {step}")
        bar.set_postfix_str(f"log loss {mean_loss:.4f}")
        if log is not None:
            rate = learning_rates(self.config, step - 1, self.guard.pass_steps).dense
            rows, skipped = step * self.config.batch_size, self.guard.skipped_before(step)
            log.write(MetricsLine(self.stage, step, rows, mean_loss, rate, skipped))

    def _end(self, progress: Progress, tables: TablePipeline, upkeep: Upkeep) -> None:
        """What is left: the best pass, finished, in one checkpoint."""
        progress.best.restore(self.trainee, self.checkpoints)
        if self.finish is not None:
            self.finish()
        progress.is_finished = True
        upkeep.save_now(progress.step, functools.partial(self._held, progress, tables), kept=1)
        if self.guard.skipped:
            warn(self.checkpoints, f"{self.stage}: trained without the rows of {len(self.guard.skipped)} steps")

    def _go_back(self, found: Spike, upkeep: Upkeep) -> None:
        """Mark a spike's step as one to be skipped. Raises Diverged where there is nothing to go back to."""
        upkeep.collect()
        newest = self.checkpoints.newest()
        if newest is None:
            raise self.guard.end(found)
        self.guard.skip(found.step)
        without = f"on without the {self.config.batch_size} rows of that step"
        warn(self.checkpoints, f"{self.stage}, {found}; training goes back to {newest.name}, and {without}")

    def _held(self, progress: Progress, tables: TablePipeline) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a checkpoint holds: tensors, and the rest as plain JSON."""
        position = tables.state_dict()
        return self.trainee.tensors(), as_plain(progress, self.trainee, position, self.guard, self.processes)


def begin_random_numbers(device: torch.device, seed: int) -> None:
    """Begin the random numbers that dropout draws, where no generator is given, anew.

    torch.manual_seed does the same, and for each kind of device that is not in use takes down who called it, in half a
    millisecond of every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def train_step(
    trainee: Trainee,
    drawn: StepPaths,
    tables: TablePipeline,
    config: TrainingRecipe,
    rates: LearningRates,
    processes: Processes,
    accepts: Accepts | None = None,
) -> Tensor:
    """One step on the next of this rank's batches; returns its mean log loss, detached, as `dense_step` does.

    One lookup serves all paths, and its backward updates the tables. A step that `accepts` refuses reads its batch and
    changes nothing.
    """
    set_learning_rate(trainee.embeddings, rates.tables)

    def dense_part(batch: Batch, embedded: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = dense_step(trainee, drawn, batch, embedded, config, rates.dense, processes, accepts)
        if gradient is None:
            return loss, torch.zeros_like(embedded)  # by which Adagrad changes neither rows nor accumulators
        trainee.prior.observe(gradient, batch.sparse)
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
    accepts: Accepts | None = None,
) -> tuple[Tensor, Tensor | None]:
    """The dense part's share of a step: the slices' gradients are averaged over paths and ranks, clipped and applied.

    Returns the mean log loss (by weight, where rows have weights), detached, and its gradient by embedded [B, F, D], a
    leaf; no gradient where `accepts` refuses the loss, and nothing is applied. The loss is NaN where the gradient's
    norm is not finite: so the losses tell, without waiting for the GPU at any step, what diverged.
    """
    mean_loss = torch.zeros((), device=processes.device)
    factors = batch_factors(batch.weight, processes)
    with matrix_precision(config, processes.device):
        for path in drawn.paths:  # one after the other, so that the activations of only one are held
            logit = path.network(batch.dense, embedded).float()
            loss = binary_cross_entropy_with_logits(logit, batch.label, factors) / len(drawn.paths)
            loss.backward()
            mean_loss += loss.detach()
    share_ranges(drawn.slices, processes)
    if drawn.slices is not drawn.paths[0].slices:
        sum_gradients(drawn.paths, drawn.slices)
    average_gradients(drawn.slices, processes)
    norm = nn.utils.clip_grad_norm_([part.leaf for part in drawn.slices], config.clip_norm)
    mean_loss = torch.where(norm.isfinite(), mean_loss, torch.nan)
    if accepts is not None and not accepts(mean_loss):
        for part in drawn.slices:
            part.leaf.grad = None
        return mean_loss, None
    trainee.optimizer.step(drawn.slices, learning_rate)
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


def share_ranges(slices: Iterable[Slice], processes: Processes) -> None:
    """Give every rank the clips that this step set from the rows of some: the widest where several ranks set one.

    A clip that no step has set is less than any other, and one that was set before is the same on every rank.
    """
    if processes.world_size == 1:
        return
    ranges = [part.leaf.data for part in slices if part.name.endswith(f".{INPUT_RANGE}")]
    if ranges:
        flat = torch.cat(ranges)
        distributed.all_reduce(flat, distributed.ReduceOp.MAX, group=processes.dense_group)
        for own, widest in zip(ranges, flat.split([own.numel() for own in ranges]), strict=True):
            own.copy_(widest)


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
