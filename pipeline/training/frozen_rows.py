"""Rows of a split with their embeddings looked up once, while the tables do not change: a dense network's inputs.

A sample of rows is cut into pieces, always the same ones; on many ranks each holds every so many-th piece, so that a
rank's memory shrinks with their number. What is computed of a piece does not depend on who holds it.

Where rows have weights, losses are multiplied by factors of mean 1: the mean of that is the weighted mean of losses.

B batch, I dense inputs, F fields, D embedding width, R rows of a sample, H of them held by this rank.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import embed
from pipeline.data import Batch, Dataset
from pipeline.run.processes import Processes
from pipeline.training.row_weights import tensor_factors

CHUNK_ROWS = 512
"""Rows per forward pass, and of a piece at most: activations stay in cache, and a score does not depend on free memory.
In float64 a head's features of them stay there too."""
LOOKUP_ROWS = 2048
"""Rows that are looked up at a time."""

Piece = tuple[int, int]
"""Rows of a sample: the first, and one past the last."""


def even_pieces(start: int, stop: int) -> list[Piece]:
    """Rows from `start` to before `stop` in pieces of CHUNK_ROWS, the last one of what is left.

    >>> even_pieces(0, 1200)
    [(0, 512), (512, 1024), (1024, 1200)]
    """
    return [(first, min(first + CHUNK_ROWS, stop)) for first in range(start, stop, CHUNK_ROWS)]


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
        return [self.part(*ends) for ends in even_pieces(0, len(self))]


@dataclass(frozen=True)
class HeldRows:
    """What this rank holds of a sample of rows: of its pieces those whose number, modulo the ranks, is this rank's."""

    rows: FrozenRows
    """[H], piece after piece."""
    pieces: tuple[Piece, ...]
    """Of the whole sample: one begins where the one before it ends, the first at row 0."""
    rank: int = 0
    """Which holder this is."""
    ranks: int = 1
    """How many there are."""

    def __post_init__(self) -> None:
        ends = [0, *(end for _, end in self.pieces)]
        assert all(start == end for (start, _), end in zip(self.pieces, ends, strict=False)), self.pieces
        assert len(self.rows) == sum(stop - start for start, stop in self.pieces[self.rank :: self.ranks])

    @classmethod
    def of(cls, rows: FrozenRows, pieces: Sequence[Piece] | None = None, rank: int = 0, ranks: int = 1) -> "HeldRows":
        """Of a whole sample a rank's part; in pieces of CHUNK_ROWS, unless other ones are given.

        >>> rows = FrozenRows(torch.zeros(1200, 3), torch.zeros(1200, 2, 4), torch.zeros(1200))
        >>> [len(HeldRows.of(rows, rank=rank, ranks=2).rows) for rank in (0, 1)]
        [688, 512]
        """
        pieces = even_pieces(0, len(rows)) if pieces is None else pieces
        if ranks > 1:
            places = _rows_of(pieces[rank::ranks])
            factor = None if rows.factor is None else rows.factor[places]
            rows = FrozenRows(rows.dense[places], rows.embedded[places], rows.label[places], factor)
        return cls(rows, tuple(pieces), rank, ranks)

    def __len__(self) -> int:
        """R: rows of the whole sample."""
        return self.pieces[-1][1] if self.pieces else 0

    def held(self, start: int, stop: int) -> Iterator[tuple[int, Piece, FrozenRows]]:
        """The pieces held here that have a row from `start` to before `stop`: which one of those held here it is, its
        rows' places in the sample, and all of its rows."""
        begin = 0
        for number, (first, last) in enumerate(self.pieces[self.rank :: self.ranks]):
            end = begin + last - first
            if first < stop and last > start:
                yield number, (first, last), self.rows.part(begin, end)
            begin = end


@torch.no_grad()
def load_held_rows(
    embeddings: DistributedModelParallel,
    dataset: Dataset,
    split: str,
    pieces: Sequence[Piece],
    processes: Processes,
    shuffle_seed: int,
    is_shared: bool = True,
) -> HeldRows:
    """The sample of a split that `load_frozen_rows` gives mixed, in these pieces, shared out among the ranks.

    Every rank reads the split's first rows, keeps the ids of its own and looks up only these. All ranks look up the
    same number of times, as the tables are sharded. Weights are factors over the whole sample. Not `is_shared`: every
    rank holds all rows.
    """
    rank, ranks = (processes.rank, processes.world_size) if is_shared else (0, 1)
    count, own = pieces[-1][1], pieces[rank::ranks]
    held = sum(stop - start for start, stop in own)
    most = max(sum(stop - start for start, stop in pieces[other::ranks]) for other in range(ranks))
    places = torch.full((count,), -1)  # where a row of the sample is held here
    places[_rows_of(own)] = torch.arange(held)
    order = _mixed(count, shuffle_seed)
    (dense, ids, label), weight = _read(dataset, split, places[order], held, shuffle_seed)
    factor = None
    if weight is not None:
        mixed = torch.empty_like(weight)
        mixed[order] = weight
        factors = tensor_factors(mixed)
        assert factors is not None
        factor = factors[_rows_of(own)].to(processes.device)
    embedded, names, id_places = list[Tensor](), dataset.schema.categories, dataset.schema.id_places
    for start in range(0, most, LOOKUP_ROWS):
        size = min(LOOKUP_ROWS, most - start)
        part = ids[start : start + size]  # [r, C], fewer than on other ranks at the end
        padding = torch.zeros((size - len(part), ids.shape[1]), dtype=ids.dtype)
        looked_up = torch.cat([part, padding]).t().contiguous()
        batch = Batch.of_lists(dense.new_zeros(size, 1), looked_up, label.new_zeros(size), names, id_places)
        vectors = embed(embeddings, batch.sparse.to(processes.device))[: len(part)]
        embedded = embedded or [vectors.new_empty(held, *vectors.shape[1:])]
        embedded[0][start : start + len(part)] = vectors
    rows = FrozenRows(dense.to(processes.device), embedded[0], label.to(processes.device), factor)
    return HeldRows(rows, tuple(pieces), rank, ranks)


def _rows_of(pieces: Sequence[Piece]) -> Tensor:
    """The places of all rows of these pieces, in order."""
    return torch.cat([torch.arange(0), *(torch.arange(*ends) for ends in pieces)])


def _mixed(count: int, seed: int) -> Tensor:
    """A seeded order of so many rows."""
    return torch.from_numpy(numpy.random.default_rng([seed, count]).permutation(count))


def _read(
    dataset: Dataset, split: str, places: Tensor, held: int, shuffle_seed: int
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor | None]:
    """Dense inputs [H, I], ids [H, C] and labels [H] of the rows held here, and the weights [R] of all, as read, where
    they have weights; `places`: where a row that is read is held, or -1."""
    found, columns, weights = 0, list[Tensor](), list[Tensor]()
    for batch in dataset.stream(split, LOOKUP_ROWS, shuffle_seed=shuffle_seed, drop_last=False):
        own = places[found : found + batch.num_rows]
        rows = (own >= 0).nonzero()[:, 0]
        values = (batch.dense, batch.padded_ids(dataset.schema.id_places).int(), batch.label)
        columns = columns or [value.new_empty(held, *value.shape[1:]) for value in values]
        for column, value in zip(columns, values, strict=True):
            column[own[rows]] = value[rows]
        weights += [] if batch.weight is None else [batch.weight[: len(own)].clone()]
        found += len(own)
        if found >= len(places):
            break
    assert found == len(places), (found, len(places))
    dense, ids, label = columns
    return (dense, ids, label), torch.cat(weights) if weights else None


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
    units at a time. They are written where they stay: memory is not needed twice.
    """
    count = min(rows, dataset.rows(split))
    places = torch.arange(count)
    if mixed:
        assert shuffle_seed is not None
        places = _mixed(count, shuffle_seed)
    found, columns = 0, list[Tensor]()
    for batch in dataset.stream(split, LOOKUP_ROWS, shuffle_seed=shuffle_seed, drop_last=False):
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
