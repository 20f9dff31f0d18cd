"""What last layers are fitted on: a network's features of the rows held here, kept where they are small, else computed
anew at each reading; and what a reading of one piece of the rows gives.

A piece's sums are made on one core from all of its features, in the same order wherever it is held.

r rows of a piece, P features, N = P + 1 numbers that are fitted (the bias last).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.supernet import Subnet
from pipeline.search.head_fit import BLOCK, Reading
from pipeline.training.frozen_rows import FrozenRows, HeldRows


@dataclass(frozen=True)
class HeadRows:
    """Features and labels of the rows held here, with the same bits whether they are kept or not."""

    network: Subnet | None
    """Computes the features where they are not kept."""
    rows: HeldRows
    """What it computes them from, and the labels."""
    kept: Sequence[Tensor] = ()
    """Features [r, P] of every piece that is held here, where they are kept."""

    @classmethod
    def of(cls, features: Tensor, label: Tensor, factor: Tensor | None = None) -> "HeadRows":
        """Given features [R, P] with their labels [R] and what they count for [R], kept."""
        nothing = features.new_empty(len(label), 0)
        rows = HeldRows.of(FrozenRows(nothing, nothing, label, factor))
        return cls(None, rows, [features[slice(*ends)] for ends in rows.pieces])

    def read(self, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """(features [r, P], labels [r], factors [r]) of the rows held here from `start` to before `stop`, piece by
        piece."""
        for number, (first, _), part in self.rows.held(start, stop):
            features = self._features(number, part)  # of the whole piece, whatever is read of it
            own = slice(max(start - first, 0), max(stop - first, 0))
            yield features[own], part.label[own], None if part.factor is None else part.factor[own]

    def _features(self, number: int, part: FrozenRows) -> Tensor:
        if self.kept:
            return self.kept[number]
        assert self.network is not None
        with torch.no_grad():
            return self.network.features(part.dense, part.embedded)


def piece_sums(rows: HeadRows, reading: Reading) -> Tensor:
    """The reading's sums over each piece held here, [K, N + 1] in float64: the gradient (zeros if not asked for), then
    the log losses."""
    point, found = reading.point, list[Tensor]()
    for features, label, factor in rows.read(reading.start, reading.stop):
        own, wanted, wide = point.new_zeros(len(point) + 1), label.double(), features.double()
        logit = torch.addmv(point[-1:], wide, point[:-1])
        own[-1] = binary_cross_entropy_with_logits(logit, wanted, factor, reduction="sum")
        if reading.has_gradient:
            residual = logit.sigmoid_().sub_(wanted)  # [r]
            residual = residual if factor is None else residual.mul_(factor)
            own[:-2].addmv_(wide.t(), residual)
            own[-2] = residual.sum()
        found.append(own)
    return torch.stack(found) if found else point.new_zeros(0, len(point) + 1)


def curved(rows: HeadRows, stop: int, point: Tensor) -> Iterator[Tensor]:
    """Of each piece held here of the first `stop` rows, in the features' own float32: [r, N], whose transpose times
    itself is the Hessian of the sum of the rows' log losses at weight and bias [N]."""
    for features, _, factor in rows.read(0, stop):
        share = torch.addmv(point[-1:], features.double(), point[:-1]).sigmoid_()
        curvature = share * (1 - share)  # of a row's loss
        root = (curvature if factor is None else curvature * factor).sqrt().to(features.dtype)
        yield torch.cat([features, features.new_ones(len(features), 1)], dim=1) * root[:, None]


def blocks_of(columns: Tensor) -> list[Tensor]:
    """Columns [..., N] in the blocks that the curvature has on its diagonal."""
    return list(columns.split(BLOCK, dim=-1))
