"""Bilinear fusion of two streams: b + w₁ᵀ x + w₂ᵀ y + Σ_h x_hᵀ W_h y_h, one number (FinalMLP, arXiv:2304.00902).

x is the left and y the right dense output, each cut into the heads' parts x_h and y_h.

B batch, H heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from modules.operators.inputs import Inputs, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, Options
from modules.operators.step import Matrix, Step


@dataclass(frozen=True)
class BilinearFusion(Operator):
    """b + w₁ᵀ x + w₂ᵀ y + Σ_h x_hᵀ W_h y_h."""

    heads: int = 1
    """Heads H. Where H does not divide a width, the first parts have one number more."""

    name = "bilinear_fusion"
    title = "Bilinear"
    outline = "hexagon"
    branch = "dense"
    options: ClassVar[Options] = {"heads": (1, 2, 4, 8)}

    def __post_init__(self) -> None:
        if self.heads < 1:
            raise ValueError(f"{self.name}, heads: {self.heads}; there is at least one")

    def width(self, block: Choices, shape: StemShape) -> int:
        """One number."""
        return 1

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The left and the right stream."""
        return Read("dense", block.left, "left"), Read("dense", block.right, "right")

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """Both streams' linear terms, then a matrix for each head."""
        left, right = inputs.dense[block.left].width, inputs.dense[block.right].width
        left_read, right_read = self.reads(block)
        return (
            Step("left", (left_read,), Matrix(((0, left),), 1, bias=True)),
            Step("right", (right_read,), Matrix(((0, right),), 1), elementwise_operations=1),
            *(
                Step(
                    f"heads.{head}.project",
                    (left_read, right_read),
                    Matrix(((0, columns),), rows),
                    products=rows,
                    elementwise_operations=rows,  # their sum, added to the others
                )
                for head, (rows, columns) in enumerate(self._sizes(left, right))
            ),
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """Linear and bilinear terms."""
        left, right = inputs.dense[block.left].width, inputs.dense[block.right].width
        count = len(self._sizes(left, right))
        heads: list[nn.Module] = [BilinearHead(layers[f"heads.{head}.project"]) for head in range(count)]
        lefts, rights = parts(left, self.heads), parts(right, self.heads)
        return BilinearFusionNetwork(block.left, block.right, lefts, rights, layers["left"], layers["right"], heads)

    def _sizes(self, left: int, right: int) -> list[tuple[int, int]]:
        """Rows and columns of the heads' matrices. A head without numbers on one side has none."""
        sizes = zip(parts(left, self.heads), parts(right, self.heads), strict=True)
        return [(rows, columns) for rows, columns in sizes if rows and columns]


class BilinearFusionNetwork(nn.Module):
    """b + w₁ᵀ x + w₂ᵀ y + Σ_h x_hᵀ W_h y_h."""

    def __init__(
        self,
        first: int,
        second: int,
        lefts: list[int],
        rights: list[int],
        left: Layer,
        right: Layer,
        heads: list[nn.Module],
    ) -> None:
        super().__init__()
        self.first, self.second, self.lefts, self.rights = first, second, lefts, rights
        self.left, self.right, self.heads = left, right, nn.ModuleList(heads)

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, 1]."""
        left, right = dense[self.first], dense[self.second]
        products: list[Tensor] = []
        lefts, rights = left.split(self.lefts, dim=1), right.split(self.rights, dim=1)
        for index, head in enumerate(self.heads):
            products.append(head(lefts[index], rights[index]))
        return self.left([left]) + self.right([right]) + torch.cat(products, dim=1).sum(1, keepdim=True)


class BilinearHead(nn.Module):
    """x ⊙ (W y), whose sum is xᵀ W y."""

    def __init__(self, project: Layer) -> None:
        super().__init__()
        self.project = project

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """[B, rows] and [B, columns] → [B, rows]."""
        return left * self.project([right])


def parts(width: int, heads: int) -> list[int]:
    """Widths of the heads' parts: as even as they can be, in a way that a wider stream has no smaller part.

    >>> parts(12, 4), parts(13, 4), parts(3, 4)
    ([3, 3, 3, 3], [4, 3, 3, 3], [1, 1, 1, 0])
    """
    return [width // heads + (head < width % heads) for head in range(heads)]
