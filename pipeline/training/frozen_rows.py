"""Rows of a split with their embeddings looked up once, while the tables do not change: a dense network's inputs.

Where rows have weights, losses are multiplied by factors of mean 1: the mean of that is the weighted mean of losses.

B batch, I dense inputs, F fields, D embedding width, R cached rows.
"""

from dataclasses import dataclass

import numpy
import torch
from torch import Tensor
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import embed
from pipeline.data import Dataset
from pipeline.run.processes import Processes
from pipeline.training.row_weights import tensor_factors

CHUNK_ROWS = 2048
"""Rows per forward pass: activations stay in cache, and a score does not depend on free memory."""


@dataclass(frozen=True)
class FrozenRows:
    """Rows of a split with their embedding vectors: the inputs and labels of a dense network."""

    dense: Tensor
    """[R, I]."""
    embedded: Tensor
    """[R, F, D]."""
    label: Tensor
    """[R]."""
    factor: Tensor | None = None
    """[R], of mean 1: what each row counts for; None where all count the same."""

    def __len__(self) -> int:
        """R."""
        return len(self.label)

    def first(self, rows: int) -> "FrozenRows":
        """The first of them."""
        return self.part(0, rows)

    def part(self, start: int, stop: int) -> "FrozenRows":
        """Those from `start` to before `stop`: a view."""
        factor = None if self.factor is None else self.factor[start:stop]
        return FrozenRows(self.dense[start:stop], self.embedded[start:stop], self.label[start:stop], factor)

    def chunks(self) -> list["FrozenRows"]:
        """The rows in pieces of CHUNK_ROWS."""
        return [self.part(start, start + CHUNK_ROWS) for start in range(0, len(self), CHUNK_ROWS)]


@torch.no_grad()
def load_frozen_rows(
    embeddings: DistributedModelParallel,
    dataset: Dataset,
    split: str,
    rows: int,
    processes: Processes,
    shuffle_seed: int | None = None,
    mixed: bool = False,
) -> FrozenRows:
    """The first `rows` rows of a split (all, if it has fewer), looked up on every rank in the same order.

    `shuffle_seed`: the first of the split's rows in a seeded order. `mixed` (with a seed): these rows are put in
    another seeded order, so that any first part of them is a random sample of them; a stream's shuffle reads a few
    units at a time. Every rank reads the same rows, so that caches, and with them scores, are the same on any number of
    ranks. They are written where they stay: memory is not needed twice.
    """
    count = min(rows, dataset.rows(split))
    places = torch.arange(count)
    if mixed:
        assert shuffle_seed is not None
        places = torch.from_numpy(numpy.random.default_rng([shuffle_seed, count]).permutation(count))
    found, columns = 0, list[Tensor]()
    for batch in dataset.stream(split, CHUNK_ROWS, shuffle_seed=shuffle_seed, drop_last=False):
        batch = batch.to(processes.device)
        weight = () if batch.weight is None else (batch.weight,)
        values = (batch.dense, embed(embeddings, batch.sparse), batch.label, *weight)
        columns = columns or [value.new_empty(count, *value.shape[1:]) for value in values]
        own = places[found : found + batch.num_rows].to(processes.device)
        for column, value in zip(columns, values, strict=True):
            column[own] = value[: len(own)]
        found += len(own)
        if found >= count:
            break
    assert found == count, (found, count)
    dense, embedded, label, *weights = columns
    return FrozenRows(dense, embedded, label, tensor_factors(weights[0] if weights else None))
