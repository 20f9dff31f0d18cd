"""A prior for row-wise Adagrad: every row of a table starts as if it had been seen a number of times before.

Row-wise Adagrad's first step of a row has the length of the learning rate whatever the gradient, because the
accumulator then holds that gradient alone: an id seen once moves as far as its whole initial vector. With a prior of
κ occurrences the step is η g / (√(s + κ m) + ε), where s is the row's own accumulator and m the running mean of the
square of one occurrence's gradient. Rare ids then stay near their start, and frequent ones (s ≫ κ m) learn as before.

TorchRec's tables keep their fused optimizer: κ m is added to the accumulators themselves and corrected as m moves.

B batch, F fields, D embedding width.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, distributed
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torchrec.distributed import DistributedModelParallel

DECAY = 0.98
"""Of the running mean of squared gradients, a step: some fifty steps are remembered."""


class TablePrior:
    """Keeps `count` · m in every row's accumulator of sharded tables with fused row-wise Adagrad.

    With a count above 0 each step corrects every row's accumulator: one number a row, beside the row's D weights.
    """

    def __init__(self, embeddings: DistributedModelParallel, count: float) -> None:
        if not count >= 0:
            raise ValueError(f"the tables' prior count is {count}; it must be at least 0")
        self.count = count
        self._accumulators = list(accumulators(embeddings))
        self.steps = 0
        self.mean_square = 0.0
        """m, the running mean of one occurrence's squared gradient (over D); 0 before the first step."""
        self.held = 0.0
        """What every accumulator holds of the prior at present."""

    def observe(self, gradient: Tensor) -> None:
        """Take in the gradient of the loss by the looked-up vectors [B, F, D], before it reaches the tables.

        With several ranks each passes its own; all hold the same mean afterwards. The tables see the gradients divided
        by the number of ranks, as the loss is the mean over all of them.
        """
        if not self.count:
            return
        square = gradient.detach().square().mean()
        if distributed.is_initialized() and (ranks := distributed.get_world_size()) > 1:
            distributed.all_reduce(square)
            square /= ranks**3  # the mean over ranks, of gradients that are each divided by their number
        found = float(square)
        self.mean_square = found if self.steps == 0 else DECAY * self.mean_square + (1 - DECAY) * found
        self._hold(self.count * self.mean_square)
        self.steps += 1

    @torch.no_grad()
    def begin_anew(self) -> None:
        """Set every accumulator to the prior alone, for tables whose rows are drawn anew."""
        for accumulator in self._accumulators:
            accumulator.fill_(self.held)

    def state_dict(self) -> dict[str, float]:
        """As plain JSON values; the accumulators themselves are saved with the tables."""
        return {"steps": self.steps, "mean_square": self.mean_square, "held": self.held}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Resume from a `state_dict`, beside tables that were saved with it."""
        self.steps, self.mean_square, self.held = int(state["steps"]), state["mean_square"], state["held"]

    @torch.no_grad()
    def _hold(self, amount: float) -> None:
        for accumulator in self._accumulators:
            # never below zero, where rounding of a falling mean would end
            accumulator.add_(amount - self.held).clamp_(min=0.0)
        self.held = amount


def accumulators(embeddings: DistributedModelParallel) -> Iterator[Tensor]:
    """This rank's row-wise Adagrad accumulators, one number a row of a table's local shard.

    They are handed out as `.data`: autograd saves them for the tables' own backward, and would refuse to run it after a
    change in between that it had noticed.
    """
    for state in embeddings.fused_optimizer.state_dict()["state"].values():
        for tensor in state.values():
            if isinstance(tensor, ShardedTensor):
                yield from (shard.tensor.data for shard in tensor.local_shards())
            else:
                yield tensor.data
