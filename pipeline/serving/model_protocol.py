"""What other files of this folder need to know of an exported model (`pipeline.serving.torchscript_model`).

B batch, I dense inputs, F fields, C columns of ids, U pieces of width g that a row looks up, S trainings side by side,
R rows of tables.
"""

from typing import Protocol

from torch import Tensor, nn


class Exportable(Protocol):
    """Embedding tables in one matrix and the networks of one training or several, whose logits are averaged."""

    integers: int
    """I."""
    width: int
    """g, of which all tables' widths are multiples."""
    tables: list[str]
    """Names of the tables [F]."""
    table_bits: int
    """Bits of a number of the matrix: 32, 8 or 4."""
    embeddings: Tensor
    """[R, S · g] float32, or [R · S, bytes] quantized."""
    table_rows: Tensor
    """Rows of each table [F]."""
    id_fields: Tensor
    """Field of each column of ids [C]."""
    lowest_ids: Tensor
    """Smallest id of each column [C]: -1 where a list may have no value."""
    id_places: list[int]
    """Columns of ids of each field [F]."""
    pieces: list[int]
    """Pieces of a row of each table [F]."""
    has_lists: bool
    """Whether a field has several columns."""
    piece_fields: Tensor
    """Column of ids of each piece [U]."""
    piece_steps: Tensor
    """How far apart rows of its table lie [U]."""
    first_pieces: Tensor
    """Where the first one is [U]."""
    interactions: nn.ModuleList
    """The networks [S]: (dense [B, I], sparse [B, U, g]) → logit [B]."""

    def logit(self, dense: Tensor, ids: Tensor) -> Tensor:
        """(dense [B, I] float32, ids [B, C] int64) → logit [B]."""
        ...
