"""Checkpoints written while training goes on: torch.distributed.checkpoint's asynchronous save.

The tensors are copied to memory, which is all that a step waits for. A thread then plans with the other ranks', in a
process group of its own, writes and completes the checkpoint. One save is on its way at a time.
"""

import datetime
from concurrent.futures import Future
from typing import Any, cast

import torch.distributed.checkpoint as dcp
from torch import Tensor, distributed
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed.checkpoint.staging import AsyncStager

from pipeline.run.checkpoint import Checkpoints, without_empty

KEPT = 2
"""Complete checkpoints of a training that goes on: where the newest is damaged, there is one before it."""
TIMEOUT = datetime.timedelta(minutes=30)
"""How long one rank's thread waits for another's: as long as a disk may take to write a rank's tables."""


class BackgroundSaves:
    """The saves of one training. Every rank calls each method at the same step."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._group: Any = None  # gloo, beside the main thread's collectives
        self._on_its_way: tuple[int, Future[Any]] | None = None

    def begin(self, step: int, tensors: dict[str, Any], progress: dict[str, Any]) -> None:
        """Copy the tensors and begin to write them; the one before must be collected."""
        assert self._on_its_way is None, "one save at a time"
        is_alone = self._checkpoints.processes.world_size == 1
        if self._group is None and not is_alone:
            self._group = distributed.new_group(backend="gloo", timeout=TIMEOUT)
        found = dcp.async_save(
            without_empty(tensors),
            storage_writer=self._checkpoints.writer(step, progress, KEPT),
            async_stager=_Copies(),
            process_group=self._group,
            no_dist=is_alone,
        )
        self._on_its_way = step, cast("Future[Any]", found)

    @property
    def is_busy(self) -> bool:
        """Whether this rank's part of a save is still being written; others may have done."""
        return self._on_its_way is not None and not self._on_its_way[1].done()

    def collect(self) -> str | None:
        """Wait for the save on its way, if there is one; where it failed, a line about that, on every rank."""
        if self._on_its_way is None:
            return None
        step, future = self._on_its_way
        self._on_its_way = None
        error = future.exception()  # which DCP hands to all ranks
        return None if error is None else self._checkpoints.remove_partial(step, error)

    def close(self) -> None:
        """Let what is on its way be completed or fail, and leave the group."""
        if self._on_its_way is not None:
            self._on_its_way[1].exception()
            self._on_its_way = None
        if self._group is not None:
            distributed.destroy_process_group(self._group)
            self._group = None


class _Copies(AsyncStager):
    """Copies nested tensors to memory before it returns. (DCP's own stagers cannot copy ShardedTensors, or copy them by
    deepcopy, in 25 times the CPU time.)"""

    _synchronize_after_execute = False

    def stage(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """The copy, which later steps do not change."""
        return {key: _copied(value) for key, value in state_dict.items()}

    def synchronize_staging(self) -> None:
        """Nothing: the copy is complete when `stage` returns."""
        return

    def close(self) -> None:
        """Nothing is held."""
        return


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, ShardedTensor):
        is_here = all(shard.tensor.device.type == "cpu" for shard in value.local_shards())
        return value.clone() if is_here else value.cpu()
    assert isinstance(value, Tensor)
    return value.detach().to("cpu", copy=True)
