"""The guard against a step that would spoil a training: a loss that is not finite, or that spikes.

A loss is a spike when it is above `spike_factor` times the largest of the last WINDOW accepted ones. The largest and
not a mean or a quantile: where clicks are rare most batches have none, and an ordinary batch with some has many times
the median's loss. A spike is not accepted, so it does not raise the bar for those after it. The first WINDOW losses of
a training, and of a pass that begins with fresh tables, are only looked at for being finite.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, distributed

from pipeline.run.processes import Processes
from pipeline.training.config import TrainingConfig
from pipeline.training.diverged import Diverged, diverged

WINDOW = 128
"""Accepted losses that a new one is compared with."""
MOST_IN_A_ROW = 5
"""So many steps skipped in a row are no accident of the data: the training has diverged."""
MOST_SHARE = 0.01
"""Share of a training's steps that may be skipped, where that is more than MOST_IN_A_ROW."""


class Spike(Exception):
    """The step whose loss was refused, after others have followed it: training goes back before it."""

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"step {step + 1}: the loss is {loss:.4g}")
        self.step = step
        """The step, from 0."""
        self.loss = loss
        """The mean over ranks, nats per row."""


@dataclass
class Guard:
    """Looks at every step's loss, and knows which steps are skipped. The same on every rank."""

    stage: str
    """The training's, for messages."""
    config: TrainingConfig
    """Policy and factor."""
    processes: Processes
    """The ranks, over which a loss is the mean."""
    pass_steps: int
    """Steps of a pass."""
    total_steps: int
    """Steps of the training."""
    skipped: set[int] = field(default_factory=set)
    """Steps, from 0, whose batches are read and not learned from."""
    _window: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _pass: int = 0
    _unseen: list[tuple[int, Tensor]] = field(default_factory=list)

    def skipped_before(self, step: int) -> int:
        """How many of the first `step` steps were skipped."""
        return sum(one < step for one in self.skipped)

    def accepts(self, step: int) -> Callable[[Tensor], bool] | None:
        """What says whether a step's gradients are applied, given this rank's mean loss; None: they are in any case.

        With the policy skip it waits for the loss, the mean over ranks; else it only knows the steps that a spike
        showed before.
        """
        if step in self.skipped:
            return lambda loss: False
        return self._accepts_now(step) if self.config.on_spike == "skip" else None

    def _accepts_now(self, step: int) -> Callable[[Tensor], bool]:
        def accepts(loss: Tensor) -> bool:
            (mean,) = self._means([loss])
            if not self._is_accepted(step, mean):
                self.skip(step)
            return step not in self.skipped

        return accepts

    def saw(self, step: int, loss: Tensor) -> None:
        """Take a trained step's loss, this rank's mean, without waiting for it."""
        if self.config.on_spike != "skip":
            self._unseen.append((step, loss))

    def check(self) -> None:
        """Look at the losses since the last check. Raises Spike for the first that is refused, or Diverged where the
        policy is to stop."""
        unseen, self._unseen = self._unseen, []
        means = self._means([loss for _, loss in unseen]) if unseen else []
        for (step, _), mean in zip(unseen, means, strict=True):
            if not self._is_accepted(step, mean):
                spike = Spike(step, mean)
                raise spike if self.config.on_spike == "roll_back" else self.end(spike)

    def end(self, spike: Spike) -> Diverged:
        """The error of a training that ends at a spike."""
        where = f"{self.stage}, step {spike.step + 1}"
        if not math.isfinite(spike.loss):
            return diverged(where)
        return Diverged(
            f"{where}: the loss is {spike.loss:.4g}, above {self.config.spike_factor:g} times the largest of the "
            f"{WINDOW} before; lower the learning rates, or look at the rows"
        )

    def skip(self, step: int) -> None:
        """From now on, do not learn from this step's batch. Raises Diverged where that has become too many.

        The step before a row of skipped ones is skipped too: what it left behind may be what spoils those after it.
        """
        first = step
        while first - 1 in self.skipped:
            first -= 1
        if first < step and self.config.on_spike == "roll_back":
            self.skipped.add(first - 1)
        self.skipped.add(step)
        in_a_row = 1
        while step - in_a_row in self.skipped:
            in_a_row += 1
        if in_a_row >= MOST_IN_A_ROW or len(self.skipped) > max(MOST_IN_A_ROW, MOST_SHARE * self.total_steps):
            raise Diverged(
                f"{self.stage}, step {step + 1}: {len(self.skipped)} steps had losses that are not finite or spikes; "
                "lower the learning rates"
            )

    def state_dict(self) -> dict[str, Any]:
        """As plain JSON values, behind a check."""
        return {"skipped": sorted(self.skipped), "window": list(self._window), "pass": self._pass}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`; what was found since is kept."""
        self.skipped |= set(state["skipped"])
        self._window, self._pass, self._unseen = deque(state["window"], maxlen=WINDOW), state["pass"], []

    def _is_accepted(self, step: int, mean: float) -> bool:
        number = step // self.pass_steps
        if self.config.tables == "fresh" and number != self._pass:
            self._window.clear()
        self._pass = number
        factor = self.config.spike_factor
        is_spike = bool(factor) and len(self._window) == WINDOW and mean > factor * max(self._window)
        if not math.isfinite(mean) or is_spike:
            return False
        self._window.append(mean)
        return True

    def _means(self, losses: Sequence[Tensor]) -> list[float]:
        """Of each loss the mean over ranks, in one collective."""
        found = torch.stack(list(losses)).double()
        if self.processes.world_size > 1:
            distributed.all_reduce(found)
        means: list[float] = (found / self.processes.world_size).tolist()
        return means
