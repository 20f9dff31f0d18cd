"""An exported model as a module: one training's tables and network, or those of several whose logits are averaged.

It imports little, as the fresh process that scripts it imports it too. pipeline/serving/torchscript_model.py writes it.

B batch, I dense inputs, F categorical fields, C columns of ids (F without lists), D embedding width, S trainings that
the model averages; g greatest common divisor of the tables' widths (D where all are alike), U pieces of that width that
a row looks up, R of all tables.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.serving.list_pooling import pooled
from pipeline.serving.mapped_tables import scratch_tensor, side_by_side
from pipeline.serving.precision import looked_up


@dataclass(frozen=True)
class TrainedParts:
    """What one training left."""

    tables: dict[str, Tensor]
    """Name -> [rows, width], one per field, in the order of the ids' columns."""
    interaction: nn.Module
    """forward(dense [B, I], sparse [B, F, D]) -> logit [B]; given [B, U, g], the tables' rows in pieces one after the
    other, where the widths differ."""


class ExportedModel(nn.Module):
    """One training's embedding tables and interaction, or those of several whose logits are averaged, as one module.

    The tables lie one after the other in a single matrix, and the trainings' rows side by side in it, so that one
    lookup serves all fields of all trainings. Where the tables' widths differ, a row of a table is several successive
    rows of the matrix, whose width all table widths are multiples of.
    """

    embeddings: Tensor
    table_rows: Tensor
    id_fields: Tensor
    lowest_ids: Tensor
    piece_fields: Tensor
    piece_steps: Tensor
    first_pieces: Tensor

    def __init__(
        self,
        trainings: Sequence[TrainedParts],
        integers: int,
        id_places: Sequence[int] = (),
        folder: Path | None = None,
    ) -> None:
        """trainings: at least one, of the same architecture and tables; integers: I; id_places: columns of ids of each
        field [F], by default one; folder: where a file holds the matrix of several trainings, by default none."""
        super().__init__()
        first = trainings[0].tables
        shapes = {name: tuple(table.shape) for name, table in first.items()}
        self.integers, self.width = integers, math.gcd(*(width for _, width in shapes.values()))
        self.tables, self.table_bits = list(first), 32  # another precision: pipeline/serving/precision.py
        self.interactions = nn.ModuleList(training.interaction for training in trainings)
        table_rows = torch.tensor([rows for rows, _ in shapes.values()])  # [F]
        pieces = torch.tensor([width // self.width for _, width in shapes.values()])  # [F]
        for training in trainings:
            found = {name: tuple(table.shape) for name, table in training.tables.items()}
            if list(found.items()) != list(shapes.items()):
                raise ValueError(f"trainings of one model have the tables {shapes} and {found}; they must be alike")
        embeddings = one_matrix([list(training.tables.values()) for training in trainings], self.width, folder)
        self.matrix_shape: list[int] = list(embeddings.shape)
        self.id_places, self.pieces = list(id_places) or [1] * len(shapes), pieces.tolist()
        self.has_lists = max(self.id_places) > 1
        id_fields = torch.arange(len(pieces)).repeat_interleave(torch.tensor(self.id_places))  # [C]
        is_first = torch.cat([torch.arange(places) == 0 for places in self.id_places])
        first_rows, pieces = (
            ((table_rows * pieces).cumsum(0) - table_rows * pieces)[id_fields],
            pieces[id_fields],
        )  # [C]
        # For each piece that a row looks up: the column of its id, how far apart rows of that table lie, and where the
        # first is.
        number = torch.cat([torch.arange(count) for count in pieces.tolist()])  # [U], with lists more
        self.register_buffer("embeddings", embeddings)
        self.register_buffer("table_rows", table_rows)
        self.register_buffer("id_fields", id_fields)
        self.register_buffer("lowest_ids", torch.where(is_first, 0, -1))
        self.register_buffer("piece_fields", torch.arange(len(pieces)).repeat_interleave(pieces))
        self.register_buffer("piece_steps", pieces.repeat_interleave(pieces))
        self.register_buffer("first_pieces", first_rows.repeat_interleave(pieces) + number)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """(dense [B, I] float32, as model.json describes; ids [B, F] int64) -> probability of a click [B].

        Raises what `logit` does.
        """
        return torch.sigmoid(self.logit(dense, ids))

    @torch.jit.export
    def map_tables(self, path: str) -> None:
        """Take the tables from a file like model.tables, mapped into memory. Raises where it is absent or too short."""
        numbers = self.matrix_shape[0] * self.matrix_shape[1]
        if self.table_bits == 32:
            self.embeddings = torch.from_file(path, False, numbers, dtype=torch.float32).view(self.matrix_shape)
        else:
            self.embeddings = torch.from_file(path, False, numbers, dtype=torch.uint8).view(self.matrix_shape)

    @torch.jit.export
    def logit(self, dense: Tensor, ids: Tensor) -> Tensor:
        """The same inputs -> log(p / (1 - p)) of the probability [B], which keeps what float32 loses near 1.

        Raises ValueError (`torch.jit.Error` from TorchScript, saying the same) for other shapes or types and for an id
        outside its table, naming row, field and value.
        """
        fields = len(self.id_fields)
        if dense.dim() != 2 or dense.size(1) != self.integers or dense.dtype != torch.float32:
            raise ValueError(f"dense is {dense.dtype} {dense.shape}; it must be float32 [batch, {self.integers}]")
        if ids.dim() != 2 or ids.size(1) != fields or ids.size(0) != dense.size(0) or ids.dtype != torch.int64:
            raise ValueError(f"ids is {ids.dtype} {ids.shape}; it must be int64 [{dense.size(0)}, {fields}]")
        if self.embeddings.size(0) == 0:
            raise ValueError("the tables are a file of their own: call map_tables with the path of model.tables first")
        if dense.size(0) == 0:
            return dense.new_empty(0)  # the interactions' reshapes cannot infer sizes from nothing
        outside = (ids < self.lowest_ids) | (ids >= self.table_rows[self.id_fields])
        if bool(outside.any()):
            first = outside.nonzero()[0]
            row, column = int(first[0]), int(first[1])
            field = int(self.id_fields[column])
            raise ValueError(
                f"ids[{row}, {column}] is {int(ids[row, column])}; "
                f"table {self.tables[field]} has the rows 0 to {int(self.table_rows[field]) - 1}"
            )
        found = ids.clamp(min=0) if self.has_lists else ids
        places = found[:, self.piece_fields] * self.piece_steps + self.first_pieces  # [B, U]
        sparse = looked_up(self.embeddings, places, self.table_bits, len(self.interactions))  # [B, U, S · g]
        if self.has_lists:
            sparse = pooled(sparse, ids, self.id_places, self.pieces)
        logit = torch.zeros_like(dense[:, 0])
        for number, interaction in enumerate(self.interactions):
            own = sparse[:, :, number * self.width : (number + 1) * self.width]  # [B, U, g]
            logit = logit + interaction(dense, own.contiguous())
        return logit / len(self.interactions)


def one_matrix(trainings: Sequence[Sequence[Tensor]], width: int, folder: Path | None) -> Tensor:
    """The tables of trainings, in rows of `width`, one after the other, and the trainings side by side: [R, S · g].

    The tables of a single training that lie so already stay where they are. `folder`: where a file holds the matrix.
    """
    found = side_by_side(list(trainings[0]), width) if len(trainings) == 1 else None
    if found is not None:
        return found
    rows = sum(table.numel() for table in trainings[0]) // width
    columns = len(trainings) * width
    matrix = torch.empty(rows, columns) if folder is None else scratch_tensor(rows, columns, folder)
    for tables, own in zip(trainings, matrix.split(width, dim=1), strict=True):
        first = 0
        for table in tables:
            rows = table.numel() // width
            own[first : first + rows] = table.detach().to("cpu", torch.float32).reshape(-1, width)
            first += rows
    return matrix


def script_file(source: str, target: str) -> None:
    """Script the pickled module in `source` into `target`. Run in a process of its own by `write_model`."""
    torch.jit.save(torch.jit.script(torch.load(source, weights_only=False)), target)
