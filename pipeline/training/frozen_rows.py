"""Rows of a split with their embeddings looked up once, while the tables do not change: a dense network's inputs.

B batch, I dense inputs, F fields, D embedding width, R cached rows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import embed
from pipeline.data import Dataset
from pipeline.run.processes import Processes

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

    def first(self, rows: int) -> "FrozenRows":
        """The first of them."""
        return FrozenRows(self.dense[:rows], self.embedded[:rows], self.label[:rows])

    def chunks(self) -> list["FrozenRows"]:
        """The rows in pieces of CHUNK_ROWS."""
        parts = zip(*(column.split(CHUNK_ROWS) for column in (self.dense, self.embedded, self.label)), strict=True)
        return [FrozenRows(*part) for part in parts]


@torch.no_grad()
def load_frozen_rows(
    embeddings: DistributedModelParallel,
    dataset: Dataset,
    split: str,
    rows: int,
    processes: Processes,
    shuffle_seed: int | None = None,
) -> FrozenRows:
    """The first `rows` rows of a split (all, if it has fewer), looked up on every rank in the same order.

    Every rank reads the same rows, so that caches, and with them scores, are the same on any number of ranks.
    """
    parts: list[FrozenRows] = []
    found = 0
    stream = dataset.stream(split, CHUNK_ROWS, shuffle_seed=shuffle_seed, drop_last=False)
    for batch in stream:
        batch = batch.to(processes.device)
        parts.append(FrozenRows(batch.dense, embed(embeddings, batch.sparse), batch.label))
        found += batch.num_rows
        if found >= rows:
            break
    columns = ("dense", "embedded", "label")
    return FrozenRows(*(torch.cat([getattr(part, name) for part in parts])[:rows] for name in columns))
