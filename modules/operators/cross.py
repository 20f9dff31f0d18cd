"""Cross layers on the stem's vectors: x_{l+1} = x₀ ⊙ (W_l x_l + b_l) + x_l (DCN-v2, arXiv:2008.13535, equation 1).

x₀ is the vectors of the stem, one after another. The output has as many numbers, so it is read as vectors again.

B batch, D embedding width, m vectors of the stem, P = m · D, r rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from modules.operators.flatten import flattened
from modules.operators.inputs import Inputs, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, Options
from modules.operators.step import Matrix, Step


@dataclass(frozen=True)
class Cross(Operator):
    """x_{l+1} = x₀ ⊙ (W_l x_l + b_l) + x_l, W a full matrix, or U V of rank r (section 3.2)."""

    rank: int = 0
    """Rank r of every layer's matrix; 0 for a full one."""
    layers: int = 1
    """Cross layers, at least 1."""

    name = "cross"
    title = "Cross"
    outline = "hexagon"
    branch = "sparse"
    options: ClassVar[Options] = {"rank": (0, 16, 32, 64, 128), "layers": (1, 2, 3, 4)}

    def __post_init__(self) -> None:
        if self.rank < 0 or self.layers < 1:
            raise ValueError(f"{self}: the rank is at least 0 (0 for a full matrix), the number of layers at least 1")

    def width(self, block: Choices, shape: StemShape) -> int:
        """The vectors of the stem, m."""
        return shape.vectors

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The stem's vectors."""
        return (Read("sparse", 0, "stem"),)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """One product a layer, or two thin ones; the last has the product with x₀ and the sum with x_l."""
        width = inputs.shape.vectors * inputs.shape.embedding_width
        steps: list[Step] = []
        for number in range(self.layers):
            before = steps[-1].name if steps else self.reads(block)[0]
            columns = ((0, width),)
            if self.rank:
                steps.append(Step(f"cross.{number}.down", (before,), Matrix(columns, self.rank)))
                before, columns = steps[-1].name, ((0, self.rank),)
            matrix = Matrix(columns, width, bias=True)
            waits_for = dict.fromkeys((before, *self.reads(block)))
            name = f"cross.{number}.{'up' if self.rank else 'full'}"
            steps.append(Step(name, tuple(waits_for), matrix, products=width, elementwise_operations=width))
        return tuple(steps)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The layers, one after another."""
        names = [f"cross.{number}" for number in range(self.layers)]
        if not self.rank:
            return CrossNetwork([CrossLayer(layers[f"{name}.full"]) for name in names])
        return CrossNetwork([LowRankCrossLayer(layers[f"{name}.down"], layers[f"{name}.up"]) for name in names])


class CrossNetwork(nn.Module):
    """Cross layers, from x₀."""

    def __init__(self, cross: Sequence[nn.Module]) -> None:
        super().__init__()
        self.cross = nn.ModuleList(cross)

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, D, m]."""
        batch, size, vectors = sparse[0].shape
        start = flattened(sparse[0])  # [B, P]
        x = start
        for layer in self.cross:
            x = layer(start, x)
        return x.view(batch, vectors, size).transpose(1, 2).contiguous()


class CrossLayer(nn.Module):
    """x₀ ⊙ (W x + b) + x."""

    def __init__(self, full: Layer) -> None:
        super().__init__()
        self.full = full

    def forward(self, start: Tensor, x: Tensor) -> Tensor:
        """[B, P] → [B, P]."""
        return start * self.full([x]) + x


class LowRankCrossLayer(nn.Module):
    """x₀ ⊙ (U V x + b) + x."""

    def __init__(self, down: Layer, up: Layer) -> None:
        super().__init__()
        self.down, self.up = down, up

    def forward(self, start: Tensor, x: Tensor) -> Tensor:
        """[B, P] → [B, P]."""
        return start * self.up([self.down([x])]) + x
