"""What a last layer is fitted on: a network's features of some rows, kept where they are small, else computed anew.

R rows, P features, r rows of a chunk.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modules.supernet import Subnet
from pipeline.training.frozen_rows import CHUNK_ROWS, FrozenRows

READ_ROWS = 512
"""Rows that are read at a time: in float64 they stay in a core's cache."""


@dataclass(frozen=True)
class HeadRows:
    """Features and labels of R rows, read in the same pieces, with the same bits, whether they are kept or not."""

    network: Subnet | None
    """Computes the features where they are not kept."""
    rows: FrozenRows
    """What it computes them from, and the labels."""
    kept: Sequence[Tensor] = ()
    """Features [CHUNK_ROWS, P] of every chunk of the rows, where they are kept."""

    @classmethod
    def of(cls, features: Tensor, label: Tensor, factor: Tensor | None = None) -> "HeadRows":
        """Given features [R, P] with their labels [R] and what they count for [R], kept."""
        nothing = features.new_empty(len(label), 0)
        return cls(None, FrozenRows(nothing, nothing, label, factor), features.split(CHUNK_ROWS))

    def __len__(self) -> int:
        """R."""
        return len(self.rows)

    def chunks(self, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """(features [r, P], labels [r], factors [r]) of the rows from `start` to before `stop`, in order."""
        for first in range(start - start % CHUNK_ROWS, stop, CHUNK_ROWS):
            features = self._features(first // CHUNK_ROWS)  # of the whole chunk, whatever is read of it
            rows = self.rows.part(first, first + CHUNK_ROWS)
            for own in range(max(first, start), min(first + CHUNK_ROWS, stop), READ_ROWS):
                part = slice(own - first, min(own + READ_ROWS, stop) - first)
                yield features[part], rows.label[part], None if rows.factor is None else rows.factor[part]

    def _features(self, index: int) -> Tensor:
        if self.kept:
            return self.kept[index]
        assert self.network is not None
        chunk = self.rows.part(index * CHUNK_ROWS, (index + 1) * CHUNK_ROWS)
        with torch.no_grad():
            return self.network.features(chunk.dense, chunk.embedded)
