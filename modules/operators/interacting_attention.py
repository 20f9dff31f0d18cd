"""Interacting attention: X ← ReLU(heads' softmax(Q Kᵀ / √w) V + W_r X), the vectors as tokens (AutoInt, 1810.11921).

The paper folds the scores' 1/√w into W_Q; the authors' code has it. Every layer keeps the vectors' width D.

B batch, D embedding width, n tokens, H heads of width w = D / H.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from modules.operators.attention import SOFTMAX_OPERATIONS, attend
from modules.operators.inputs import Inputs, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, Options
from modules.operators.step import ComputedProduct, LayerNorm, Matrix, Step


@dataclass(frozen=True)
class InteractingAttention(Operator):
    """Interacting layers, one after another, on the stem's vectors or on the sparse inputs projected to n vectors."""

    project: bool = False
    """Whether the tokens are the joined sparse inputs, projected to the block's n vectors, or the stem's vectors."""
    layers: int = 1
    """Interacting layers, at least 1."""
    heads: int = 2
    """Heads H; where H does not divide D, their greatest common divisor."""
    norm: bool = False
    """Whether each layer has a layer norm before its ReLU."""

    name = "interacting_attention"
    title = "Interacting attention"
    outline = "hexagon"
    branch = "sparse"
    options: ClassVar[Options] = {
        "project": (False, True),
        "layers": (1, 2, 3),
        "heads": (1, 2, 4),
        "norm": (False, True),
    }

    def __post_init__(self) -> None:
        for field in ("layers", "heads"):
            if getattr(self, field) < 1:
                raise ValueError(f"{self.name}, {field}: {getattr(self, field)}; there is at least one")

    def width(self, block: Choices, shape: StemShape) -> int:
        """The block's sparse width n, or the stem's vectors."""
        return block.sparse_width if self.project else shape.vectors

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The joined sparse inputs, or the stem."""
        if not self.project:
            return (Read("sparse", 0, "stem"),)
        return tuple(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The projection, then two steps a layer."""
        size = inputs.shape.embedding_width
        if not self.project:
            return tuple(self._layer_steps(self.reads(block), inputs.sparse[0].width, size))
        n = block.sparse_width
        project = Step("project", self.reads(block), Matrix(inputs.sparse_columns(block.sparse_inputs), n, size))
        return (project, *self._layer_steps(("project",), n, size))

    def _layer_steps(self, waits_for: tuple[str | Read, ...], n: int, size: int) -> Iterator[Step]:
        """Queries, keys and values with the attention; the residual's matrix with the sum, the norm and the ReLU."""
        heads = math.gcd(self.heads, size)
        products = (
            ComputedProduct(n, size // heads, n, heads, n * n * size),  # QKᵀ
            ComputedProduct(n, n, size // heads, heads, n * n * size),  # AV
        )
        for layer in range(self.layers):
            attended, residual = f"interact.{layer}.query_key_value", f"interact.{layer}.residual"
            yield Step(
                attended,
                waits_for,
                Matrix(((0, size),), 3 * size, vectors=n),
                computed=products,
                elementwise_operations=SOFTMAX_OPERATIONS * n * n * heads,
                function_evaluations=n * n * heads,
            )
            yield Step(
                residual,
                (*waits_for, attended),
                Matrix(((0, size),), size, vectors=n),
                LayerNorm(f"interact.{layer}.norm", size, n) if self.norm else None,
                elementwise_operations=2 * n * size,  # the sum, ReLU
            )
            waits_for = (residual,)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The projection, where there is one, and the layers."""
        heads = math.gcd(self.heads, inputs.shape.embedding_width)
        interact: list[nn.Module] = []
        for layer in range(self.layers):
            path = f"interact.{layer}"
            norm = layers[f"{path}.norm"] if self.norm else nn.Identity()
            weights = layers[f"{path}.query_key_value"], layers[f"{path}.residual"]
            interact.append(InteractingLayer(heads, *weights, norm))
        if not self.project:
            return InteractingAttentionNetwork(interact)
        return ProjectedAttentionNetwork(list(block.sparse_inputs), layers["project"], interact)


class InteractingAttentionNetwork(nn.Module):
    """Interacting layers on the stem's vectors."""

    def __init__(self, interact: list[nn.Module]) -> None:
        super().__init__()
        self.interact = nn.ModuleList(interact)

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, D, n]."""
        x = sparse[0].transpose(1, 2).contiguous()  # [B, n, D]
        for layer in self.interact:
            x = layer(x)
        return x.transpose(1, 2).contiguous()


class ProjectedAttentionNetwork(nn.Module):
    """Interacting layers on the projected sparse inputs."""

    def __init__(self, inputs: list[int], project: Layer, interact: list[nn.Module]) -> None:
        super().__init__()
        self.inputs, self.project, self.interact = inputs, project, nn.ModuleList(interact)

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, D, n]."""
        fields = self.project([sparse[i] for i in self.inputs])  # [B, D, n]
        x = fields.transpose(1, 2).contiguous()  # [B, n, D]
        for layer in self.interact:
            x = layer(x)
        return x.transpose(1, 2).contiguous()


class InteractingLayer(nn.Module):
    """ReLU(LN(attention + W_r X)); the norm may be the identity."""

    def __init__(self, heads: int, query_key_value: Layer, residual: Layer, norm: Layer) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value, self.residual, self.norm = query_key_value, residual, norm

    def forward(self, x: Tensor) -> Tensor:
        """[B, n, D] → [B, n, D]."""
        attended = attend(self.query_key_value([x]), self.heads)
        x = self.norm(attended + self.residual([x]))
        return x.relu() if torch.jit.is_scripting() else x.relu_()
