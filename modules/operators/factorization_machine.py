"""Factorization machine: ½ ((Σ_i v_i)² − Σ_i v_i²), the sum of all pairs' products (Rendle 2010; DeepFM, 1703.04247).

DeepFM adds the D numbers up; here whoever reads them weighs them (weights of 1 are DeepFM's sum).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modules.operators.inputs import Inputs, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator
from modules.operators.step import Step


@dataclass(frozen=True)
class FactorizationMachine(Operator):
    """½ ((Σ_i v_i)² − Σ_i v_i²) over the joined sparse inputs' vectors v_i: D numbers, no weights."""

    name = "factorization_machine"
    title = "FM"
    outline = "hexagon"
    branch = "dense"

    def width(self, block: Choices, shape: StemShape) -> int:
        """The embedding width D."""
        return shape.embedding_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The joined sparse inputs."""
        return tuple(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """Squares and sums."""
        n, size = inputs.sparse_width(block.sparse_inputs), inputs.shape.embedding_width
        products = (n + 1) * size  # Σv² has n · D products, (Σv)² has D
        sums = 2 * n * size  # both sums, their difference and its half
        return (Step("pairs", self.reads(block), products=products, elementwise_operations=sums),)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """½ ((Σ_i v_i)² − Σ_i v_i²)."""
        return FactorizationMachineNetwork(list(block.sparse_inputs))


class FactorizationMachineNetwork(nn.Module):
    """½ ((Σ_i v_i)² − Σ_i v_i²)."""

    def __init__(self, inputs: list[int]) -> None:
        super().__init__()
        self.inputs = inputs

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, D]."""
        vectors = torch.cat([sparse[i] for i in self.inputs], dim=2)  # [B, D, n]
        return (vectors.sum(2).square() - vectors.square().sum(2)) / 2
