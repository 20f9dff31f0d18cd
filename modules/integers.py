"""What networks read in the place of the numeric columns: them standardized, or the bins of each that they have filled.

Early training is much faster with standardized columns: their means would otherwise act as one large bias
(DECISIONS.md).

B batch, I numeric columns, T bins of a column, E encoded columns.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MISSING = -1.0
"""How a missing number is written (pipeline/data/formats/features.py)."""
LEAST_DEVIATION = 0.1
"""Smallest deviation by which an encoded column is divided: else one that is rarely set would be very large there."""
_NEVER = 3.0e38  # where a bin that a column does not have begins


class PiecewiseLinear(nn.Module):
    """Each number x as T + 2 of them: x itself (0 where it is missing), whether it is missing, and how far it has
    filled each of T bins, from 0 to 1 (arXiv:2203.05556, section 3.2; outside of all bins it stays 0 or 1).

    With these, a linear layer is a piecewise linear function of every column.

    >>> PiecewiseLinear([[0.0, 1.0, 3.0]], bins=3)(torch.tensor([[2.0], [-1.0]]))
    tensor([[2.0000, 0.0000, 1.0000, 0.5000, 0.0000],
            [0.0000, 1.0000, 0.0000, 0.0000, 0.0000]])
    """

    lower: Tensor
    width: Tensor

    def __init__(self, edges: Sequence[Sequence[float]], bins: int) -> None:
        """`edges`: for each of I columns where its bins begin and end, ascending, up to `bins` + 1 of them."""
        super().__init__()
        lower = torch.full((len(edges), bins), _NEVER)
        width = torch.ones(len(edges), bins)
        for column, own in enumerate(edges):
            assert len(own) <= bins + 1 and list(own) == sorted(set(own)), own
            found = torch.tensor(own)
            lower[column, : max(len(own) - 1, 0)] = found[:-1]
            width[column, : max(len(own) - 1, 0)] = found[1:] - found[:-1]
        self.missing = MISSING  # TorchScript reads no globals
        self.register_buffer("lower", lower, persistent=False)  # [I, T]
        self.register_buffer("width", width, persistent=False)  # [I, T]

    def forward(self, dense: Tensor) -> Tensor:
        """[B, I] → [B, I · (T + 2)], column by column."""
        missing = (dense == self.missing).unsqueeze(2)  # [B, I, 1]
        x = dense.unsqueeze(2)
        filled = ((x - self.lower) / self.width).clamp(0.0, 1.0)  # [B, I, T]
        own = torch.cat([x, filled], dim=2).masked_fill(missing, 0.0)
        return torch.cat([own[:, :, :1], missing.to(dense.dtype), own[:, :, 1:]], dim=2).flatten(1)


class Standardization(nn.Module):
    """(x − mean) / deviation, column by column; without arguments nothing is changed.

    The numbers are the data's, not learned: buffers that no checkpoint holds. Columns that do not vary are left alone;
    encoded ones that do not are 0, whatever a later row has there.

    >>> Standardization(torch.tensor([2.0, 1.0]), torch.tensor([4.0, 0.0]))(torch.tensor([[4.0, 1.0]]))
    tensor([[0.5000, 1.0000]])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        mean: Tensor | None = None,
        deviation: Tensor | None = None,
        encoding: PiecewiseLinear | None = None,
    ) -> None:
        """`mean` and `deviation` [I]; with `encoding`, which comes before them, of its columns [E]."""
        super().__init__()
        if mean is None or deviation is None:
            mean, deviation = torch.zeros(1), torch.zeros(1)
        varies = deviation > 0
        least, otherwise = (0.0, 1.0) if encoding is None else (LEAST_DEVIATION, torch.inf)
        self.encoding: nn.Module = nn.Identity() if encoding is None else encoding
        self.register_buffer("mean", torch.where(varies, mean, 0.0), persistent=False)
        self.register_buffer("deviation", torch.where(varies, deviation.clamp(min=least), otherwise), persistent=False)

    def forward(self, dense: Tensor) -> Tensor:
        """[B, I] → [B, I], or [B, E]."""
        return (self.encoding(dense) - self.mean) / self.deviation
