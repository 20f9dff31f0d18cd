"""How far a training has come: what a checkpoint holds beside the tensors, as plain JSON, and back."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.data import Stream
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.processes import Processes
from pipeline.training.best_pass import BestPass
from pipeline.training.spikes import Guard
from pipeline.training.trainee import Trainee, load_tables


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
        """Their mean over all ranks, where there is at least one; begins again at zero."""
        mean = processes.mean(self.total / self.count)
        self.total, self.count = torch.zeros_like(self.total), 0
        return mean


@dataclass
class Progress:
    """Where a training stands."""

    step: int
    """Steps done."""
    losses: RunningLoss
    """Since the last line of metrics."""
    best: BestPass
    """The best pass so far."""
    is_finished: bool = False
    """Whether training is over."""


def resumed(trainee: Trainee, stream: Stream, checkpoints: Checkpoints, guard: Guard) -> Progress:
    """Load the newest checkpoint that is intact, if any; the stream goes on behind the last batch trained on."""
    zero = torch.zeros((), device=checkpoints.processes.device)
    tensors = trainee.tensors()
    found = checkpoints.load_newest(tensors)
    if found is None:
        return Progress(0, RunningLoss(zero), BestPass())
    load_tables(trainee.embeddings, tensors)
    stream.load_state_dict(found["stream"])
    trainee.restore_generator(found["generator"])
    trainee.prior.load_state_dict(found["prior"])
    guard.load_state_dict(found["guard"])
    sums = found["loss_sum"]  # one per rank; on another number of ranks their mean stands for each
    world_size, rank = checkpoints.processes.world_size, checkpoints.processes.rank
    loss_sum = sums[rank] if len(sums) == world_size else sum(sums) / len(sums)
    losses = RunningLoss(zero + loss_sum, found["losses"])
    return Progress(found["step"], losses, BestPass(**found["best"]), found["is_finished"])


def as_plain(
    progress: Progress, trainee: Trainee, position: dict[str, Any], guard: Guard, processes: Processes
) -> dict[str, Any]:
    """What `resumed` reads. `position`: of the stream, behind the last batch trained on. Every rank calls it."""
    return {
        "step": progress.step,
        "stream": position,
        "generator": trainee.generator_state(),
        "prior": trainee.prior.state_dict(),
        "guard": guard.state_dict(),
        "loss_sum": processes.gather(float(progress.losses.total)),
        "losses": progress.losses.count,
        "best": dataclasses.asdict(progress.best),
        "is_finished": progress.is_finished,
    }
