"""What a training does between its steps beside learning: it saves now and then, and stops when it is asked to.

Whether a save is due, and whether anybody was asked to stop, differs between ranks, and acting on it must not. They
agree in one small collective about once a second, and not at every step, which would wait for the slowest and, on CUDA,
for the device.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed
from tqdm import tqdm

from pipeline.run.background_saves import KEPT, BackgroundSaves
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.stopping import is_stop_asked

AGREEMENT_S = 1.0
"""Seconds between two agreements, as far as the steps so far tell."""
MOST_STEPS = 1000
"""Steps between two agreements, at most: the next ones may take longer than those so far."""

State = Callable[[], tuple[dict[str, Any], dict[str, Any]]]
"""Gives the tensors and the progress of the training as it stands; every rank calls it."""


@dataclass(frozen=True)
class Agreed:
    """What all ranks do after a step."""

    is_stopping: bool = False
    """Some rank was asked to stop: save and end."""
    is_saving: bool = False
    """The time for a checkpoint has come, and none is being written."""


class Upkeep:
    """The saves and the end of one training. Every rank calls each method at the same step."""

    def __init__(self, checkpoints: Checkpoints, minutes: float) -> None:
        """`minutes` between checkpoints that are written beside training; 0: none."""
        self._checkpoints, self._seconds = checkpoints, 60 * minutes
        self._saves = BackgroundSaves(checkpoints)
        self._saved = self._agreed = time.monotonic()
        self._agreed_step, self._next_step = -1, 0
        self._group: Any = None
        processes = checkpoints.processes
        if processes.world_size > 1 and processes.device.type == "cuda":
            self._group = distributed.new_group(backend="gloo")  # not to wait for the device

    def agree(self, step: int, at_once: bool = False) -> Agreed:
        """What is to be done after `step` steps; mostly nothing, without asking, unless `at_once`."""
        if step < self._next_step and not at_once:
            return Agreed()
        now = time.monotonic()
        is_due = self._seconds > 0 and now - self._saved >= self._seconds
        step_s = (now - self._agreed) / max(1, step - self._agreed_step)
        steps = min(MOST_STEPS, max(1, int(AGREEMENT_S / max(step_s, 1e-6))))
        stopping, busy, due, steps = self._sum(is_stop_asked(), self._saves.is_busy, is_due, steps)
        self._agreed, self._agreed_step, self._next_step = now, step, step + steps
        if not busy:
            self.collect()
        return Agreed(stopping > 0, due > 0 and not busy)

    def save(self, step: int, state: State, is_waiting: bool = False) -> None:
        """Begin to write a checkpoint; `is_waiting`: for the one before, if that is not written yet."""
        if is_waiting:
            self.collect()
        self._saves.begin(step, *state())
        self._saved = time.monotonic()

    def save_now(self, step: int, state: State, kept: int = KEPT) -> None:
        """Write a checkpoint before this returns. Raises OSError when that fails."""
        self.collect()
        self._checkpoints.save(step, *state(), kept)

    def close(self) -> None:
        """Let a save on its way be completed."""
        self._saves.close()
        if self._group is not None:
            distributed.destroy_process_group(self._group)

    def collect(self) -> None:
        """Wait for the save before, if there is one. One that failed is a line: training goes on, and saves again."""
        problem = self._saves.collect()
        if problem is not None:
            warn(self._checkpoints, f"{problem} Training goes on with the earlier one, and saves again in its time")

    def _sum(self, is_stopping: bool, is_busy: bool, is_due: bool, steps: int) -> tuple[int, int, int, int]:
        """How many ranks were asked to stop and are writing; rank 0's word on the others."""
        processes = self._checkpoints.processes
        if processes.world_size == 1:
            return int(is_stopping), int(is_busy), int(is_due), 1
        own = [is_stopping, is_busy, is_due and processes.is_first, steps * processes.is_first]
        summed = torch.tensor(own, dtype=torch.int64)
        distributed.all_reduce(summed, group=self._group)
        found: tuple[int, int, int, int] = tuple(summed.tolist())
        return found


def warn(checkpoints: Checkpoints, line: str) -> None:
    """A line for the user, on rank 0, above the progress bar."""
    if checkpoints.processes.is_first:
        with contextlib.suppress(OSError):  # the terminal may be a file on the disk that is full
            tqdm.write(line)
