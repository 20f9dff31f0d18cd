"""What a training that diverges ends with, and the check that keeps it out of checkpoints."""

from collections.abc import Iterator

import torch
from torch import Tensor

from modules.table_prior import accumulators
from pipeline.run.processes import Processes
from pipeline.training.trainee import Trainee


class Diverged(ValueError):
    """A loss, a gradient, a weight or a logit is no longer finite; whoever tries recipes records it as failed."""


def check_finite(trainee: Trainee, loss_sum: Tensor, where: str, processes: Processes) -> None:
    """Raise Diverged on every rank unless the losses so far, and all that a checkpoint would hold, are finite on all.

    `loss_sum`: the sum of this rank's losses since the last check, a scalar on the device. It waits for the GPU and
    reads every weight once, which takes a small part of what writing a checkpoint does.
    """
    is_finite = bool(loss_sum.isfinite()) and all(_is_finite(tensor) for tensor in _held(trainee))
    if not all(processes.gather(is_finite)):
        raise diverged(where)


def diverged(where: str) -> Diverged:
    """The error; `where` names the stage and the step."""
    return Diverged(f"{where}: the loss, its gradient or a weight is not finite; lower the learning rates")


def _held(trainee: Trainee) -> Iterator[Tensor]:
    """This rank's weights and optimizer states."""
    yield from trainee.parameters.values()
    yield from trainee.optimizer.state_dict().values()
    for table in trainee.embeddings.state_dict().values():
        yield from (shard.tensor for shard in table.local_shards())
    yield from accumulators(trainee.embeddings)


def _is_finite(tensor: Tensor) -> bool:
    """Without a copy of the tensor's size: both extremes are NaN where any element is."""
    if not tensor.numel():
        return True
    low, high = torch.aminmax(tensor.detach())
    return bool(low.isfinite() & high.isfinite())
