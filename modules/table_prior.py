"""A prior for row-wise Adagrad: every row of a table starts as if it had been seen a number of times before.

Row-wise Adagrad's first step of a row has the length of the learning rate whatever the gradient, because the
accumulator then holds that gradient alone: an id seen once moves as far as its whole initial vector. With a prior of
κ occurrences the step is η g / (√(s + κ m) + ε), where s is the row's own accumulator and m the running mean of the
square of one occurrence's gradient. Rare ids then stay near their start, and frequent ones (s ≫ κ m) learn as before.

TorchRec's tables keep their fused optimizer: κ m is added to the accumulators themselves and corrected as m moves.

A value in a list of n, whose vectors are averaged, gets g / n of the gradient g of their mean. The square of one of its
occurrences' gradients is therefore m times the mean of 1 / n² over the occurrences, Σ 1/n / Σ n over rows: so much of
κ m the tables of lists hold. With all of it, values of long lists would hardly move.

B batch, F fields, D embedding width.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torchrec import KeyedJaggedTensor
from torchrec.distributed import DistributedModelParallel

DECAY = 0.98
"""Of the running mean of squared gradients, a step: some fifty steps are remembered."""


class TablePrior:
    """Keeps `count` · m in every row's accumulator of sharded tables with fused row-wise Adagrad.

    With a count above 0 each step corrects every row's accumulator: one number a row, beside the row's D weights.
    """

    def __init__(
        self, embeddings: DistributedModelParallel, count: float, lists: Sequence[tuple[str, str]] = ()
    ) -> None:
        """`lists`: table and field of each that averages its vectors."""
        if not count >= 0:
            raise ValueError(f"the tables' prior count is {count}; it must be at least 0")
        self.count = count
        self._accumulators = list(_named_accumulators(embeddings))
        self._lists = dict(lists)
        self.shares = dict.fromkeys(self._lists, 1.0)
        """Of m that one occurrence in a list has, by table."""
        self._held_of_lists = dict.fromkeys(self._lists, 0.0)
        self.steps = 0
        self.mean_square = 0.0
        """m, the running mean of one occurrence's squared gradient (over D); 0 before the first step."""
        self.held = 0.0
        """What every accumulator holds of the prior at present, but for those of lists."""

    def observe(self, gradient: Tensor, sparse: KeyedJaggedTensor | None = None) -> None:
        """Take in the gradient of the loss by the looked-up vectors [B, F, D], before it reaches the tables.

        `sparse`: the ids that were looked up, where there are lists. With several ranks each passes its own; all hold
        the same mean afterwards. The tables see the gradients divided by the number of ranks, as the loss is the mean
        over all of them.
        """
        if not self.count:
            return
        square = gradient.detach().square().mean()
        if distributed.is_initialized() and (ranks := distributed.get_world_size()) > 1:
            distributed.all_reduce(square)
            square /= ranks**3  # the mean over ranks, of gradients that are each divided by their number
        found = float(square)
        self.mean_square = self._running(self.mean_square, found)
        if self._lists:
            assert sparse is not None, "the lengths of lists are part of what is observed"
            for table, share in self._found_shares(sparse).items():
                self.shares[table] = self._running(self.shares[table], share)
        self._hold(self.count * self.mean_square)
        self.steps += 1

    def _running(self, mean: float, found: float) -> float:
        """A running mean with what this step has found."""
        return found if self.steps == 0 else DECAY * mean + (1 - DECAY) * found

    def _found_shares(self, sparse: KeyedJaggedTensor) -> dict[str, float]:
        """Σ 1/n / Σ n over the rows of all ranks, by table."""
        lengths = [sparse[field].lengths().double() for field in self._lists.values()]
        sums = torch.stack([torch.stack([(1 / n.clamp(min=1)).sum(), n.sum()]) for n in lengths])
        if distributed.is_initialized() and distributed.get_world_size() > 1:
            distributed.all_reduce(sums)
        return dict(zip(self._lists, (sums[:, 0] / sums[:, 1].clamp(min=1)).tolist(), strict=True))

    def held_of(self, table: str) -> float:
        """What every accumulator of a table holds of the prior at present."""
        return self._held_of_lists.get(table, self.held)

    @torch.no_grad()
    def begin_anew(self) -> None:
        """Set every accumulator to the prior alone, for tables whose rows are drawn anew."""
        for table, accumulator in self._accumulators:
            accumulator.fill_(self.held_of(table))

    def state_dict(self) -> dict[str, Any]:
        """As plain JSON values; the accumulators themselves are saved with the tables."""
        state = {"steps": self.steps, "mean_square": self.mean_square, "held": self.held}
        return {**state, "shares": self.shares, "held_of_lists": self._held_of_lists} if self._lists else state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a `state_dict`, beside tables that were saved with it."""
        self.steps, self.mean_square, self.held = int(state["steps"]), state["mean_square"], state["held"]
        if self._lists:
            self.shares, self._held_of_lists = dict(state["shares"]), dict(state["held_of_lists"])

    @torch.no_grad()
    def _hold(self, amount: float) -> None:
        of_lists = {table: amount * share for table, share in self.shares.items()}
        for table, accumulator in self._accumulators:
            # never below zero, where rounding of a falling mean would end
            accumulator.add_(of_lists.get(table, amount) - self.held_of(table)).clamp_(min=0.0)
        self.held, self._held_of_lists = amount, of_lists


def accumulators(embeddings: DistributedModelParallel) -> Iterator[Tensor]:
    """This rank's row-wise Adagrad accumulators, one number a row of a table's local shard.

    They are handed out as `.data`: autograd saves them for the tables' own backward, and would refuse to run it after a
    change in between that it had noticed.
    """
    for _, accumulator in _named_accumulators(embeddings):
        yield accumulator


def _named_accumulators(embeddings: DistributedModelParallel) -> Iterator[tuple[str, Tensor]]:
    """With the name of each one's table."""
    for name, state in embeddings.fused_optimizer.state_dict()["state"].items():
        table = name.removesuffix(".weight").rpartition(".")[2]
        for tensor in state.values():
            if isinstance(tensor, ShardedTensor):
                yield from ((table, shard.tensor.data) for shard in tensor.local_shards())
            else:
                yield table, tensor.data
