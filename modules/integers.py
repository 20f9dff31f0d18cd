"""The integers' standardization: each column less its mean, over its standard deviation, before anything else.

Early training is much faster with it: the columns' means would otherwise act as one large bias (DECISIONS.md).

B batch, I integers.
"""

import torch
from torch import Tensor, nn


class Standardization(nn.Module):
    """(x − mean) / deviation, column by column; without arguments nothing is changed.

    The numbers are the data's, not learned: buffers that no checkpoint holds. Columns that do not vary are left alone.

    >>> Standardization(torch.tensor([2.0, 1.0]), torch.tensor([4.0, 0.0]))(torch.tensor([[4.0, 1.0]]))
    tensor([[0.5000, 1.0000]])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor | None = None, deviation: Tensor | None = None) -> None:
        """`mean` and `deviation` [I]."""
        super().__init__()
        if mean is None or deviation is None:
            mean, deviation = torch.zeros(1), torch.zeros(1)
        varies = deviation > 0
        self.register_buffer("mean", torch.where(varies, mean, 0.0), persistent=False)
        self.register_buffer("deviation", torch.where(varies, deviation, 1.0), persistent=False)

    def forward(self, dense: Tensor) -> Tensor:
        """[B, I] → [B, I]."""
        return (dense - self.mean) / self.deviation
