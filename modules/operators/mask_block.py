"""Mask block: act(LN(W (mask ⊙ h))), mask = W₂ ReLU(W₁ x₀ + b₁) + b₂ (MaskNet, arXiv:2102.07619, equations 3 to 8).

x₀ is the flattened stem. h is the joined dense inputs (MaskNet's block on a block), the stem's vectors with a layer
norm each (its block on feature embeddings), or both.

B batch, D embedding width, d dense width, m vectors of the stem, k hidden units of the mask.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from modules.operators.activation import activate, activation_operations
from modules.operators.ending import ENDING_OPTIONS, Ending, norm_or_nothing
from modules.operators.flatten import flattened_stem
from modules.operators.inputs import STEM_READS, Columns, Inputs, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, Options
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class MaskBlock(Operator):
    """act(LN(W (mask ⊙ h))), mask = W₂ ReLU(W₁ x₀ + b₁) + b₂."""

    source: str = "dense"
    """What h is: the joined "dense" inputs, the "stem" (its vectors, a layer norm each) or "both", the stem first."""
    hidden: int = 64
    """Hidden units k of the mask, at least 1."""
    norm: bool = True
    """Whether there is a layer norm before the activation (those of the stem's vectors stay)."""
    activation: str = "relu"
    """What follows: one of `ACTIVATIONS`."""
    dropout: float = 0.0
    """Share of the output's numbers that is dropped in training, at least 0 and less than 1."""

    name = "mask_block"
    title = "Mask block"
    outline = "hexagon"
    branch = "dense"
    options: ClassVar[Options] = {
        "source": ("dense", "stem", "both"),
        "hidden": (16, 32, 64, 128, 256, 512),
        **ENDING_OPTIONS,
    }

    def __post_init__(self) -> None:
        for name in ("source", "activation"):
            if getattr(self, name) not in self.options[name]:
                known = list(self.options[name])
                raise ValueError(f"{self.name}, {name}: {getattr(self, name)!r}; it is one of {known}")
        if self.hidden < 1:
            raise ValueError(f"{self.name}, hidden: {self.hidden}; a width is at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"{self.name}, dropout: {self.dropout}; it is at least 0 and less than 1")

    def width(self, block: Choices, shape: StemShape) -> int:
        """The block's dense width d."""
        return block.dense_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The stem, and the joined dense inputs where h has them."""
        return *STEM_READS, *self._joined(block)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """The mask's first layer, the stem's norms, the mask's second layer for each part of h, and the projection."""
        d, size, vectors = block.dense_width, inputs.shape.embedding_width, self._vectors(inputs)
        columns, numbers = self._columns(block, inputs)
        norms = [
            Step(f"vectors.{vector}", STEM_READS[1:], norm=LayerNorm(f"vectors.{vector}.norm", size))
            for vector in range(vectors)
        ]
        parts: list[tuple[str | Read, ...]] = [tuple(step.name for step in norms)] if norms else []
        parts += [(read,) for read in self._joined(block)]
        masks = [
            Step(
                f"masks.{name}.project",
                ("aggregate", *part),
                Matrix(((0, self.hidden),), width, bias=True),
                products=width,  # the mask times its part of h
            )
            for (name, width), part in zip(numbers.items(), parts, strict=True)
        ]
        operations, evaluations = activation_operations(self.activation, d)
        return (
            Step(
                "aggregate",
                STEM_READS,
                Matrix(inputs.stem_columns(), self.hidden, bias=True),
                elementwise_operations=self.hidden,  # ReLU
            ),
            *norms,
            *masks,
            Step(
                "project",
                tuple(step.name for step in masks),
                Matrix(columns, d, bias=not self.norm),
                LayerNorm("norm", d) if self.norm else None,
                elementwise_operations=operations,
                function_evaluations=evaluations,
            ),
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The masked numbers' projection with norm, activation and dropout."""
        _, numbers = self._columns(block, inputs)
        return MaskBlockNetwork(
            inputs.shape.stem_vectors,
            [read.output or 0 for read in self._joined(block)],
            layers["aggregate"],
            {part: Mask(layers[f"masks.{part}.project"]) for part in numbers},
            [VectorNorm(layers[f"vectors.{vector}.norm"]) for vector in range(self._vectors(inputs))],
            layers["project"],
            norm_or_nothing(layers, self.norm),
            Ending(self.activation, self.dropout),
        )

    def _joined(self, block: Choices) -> tuple[Read, ...]:
        return tuple(Read("dense", source) for source in block.dense_inputs) if self.source != "stem" else ()

    def _vectors(self, inputs: Inputs) -> int:
        """Vectors of the stem that h has."""
        return inputs.shape.vectors if self.source != "dense" else 0

    def _columns(self, block: Choices, inputs: Inputs) -> tuple[tuple[Columns, ...], dict[str, int]]:
        """The projection's columns, one range a part of h, and how many numbers each part has, by the part's name."""
        size, vectors = inputs.shape.embedding_width, self._vectors(inputs)
        sources = () if self.source == "stem" else block.dense_inputs
        parts = {"stem": vectors * size} if vectors else {}
        parts |= {f"dense_{source}": inputs.dense[source].width for source in sources}
        stem = ((0, vectors * size),) if vectors else ()
        return stem + inputs.joined_columns(sources, (), inputs.sparse[0].size * size), parts


class MaskBlockNetwork(nn.Module):
    """act(LN(W (mask ⊙ h))), a mask for each part of h: the stem's vectors first, then the dense inputs."""

    inputs: list[int]  # may be empty, and TorchScript cannot infer what an empty list holds

    def __init__(
        self,
        stem_vectors: int,
        inputs: list[int],
        aggregate: Layer,
        masks: dict[str, nn.Module],
        vectors: list[nn.Module],
        project: Layer,
        norm: Layer,
        ending: Ending,
    ) -> None:
        super().__init__()
        self.stem_vectors, self.inputs = stem_vectors, inputs
        self.aggregate, self.masks, self.vectors = aggregate, nn.ModuleDict(masks), nn.ModuleList(vectors)
        self.project, self.norm, self.ending = project, norm, ending

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        parts: list[Tensor] = []  # of h
        if len(self.vectors) > 0:
            parts.append(self.normed(sparse[0]))
        parts += [dense[i] for i in self.inputs]
        hidden = activate(self.aggregate(flattened_stem(dense, sparse, self.stem_vectors)), "relu")  # [B, k]
        masked: list[Tensor] = []
        for index, mask in enumerate(self.masks.values()):
            masked.append(mask(hidden) * parts[index])
        return self.ending(self.norm(self.project(masked)))

    def normed(self, stem: Tensor) -> Tensor:
        """Every vector with its own norm: [B, D, m] → [B, m · D]."""
        each = stem.unbind(2)  # m of [B, D]
        normed: list[Tensor] = []
        for index, norm in enumerate(self.vectors):
            normed.append(norm(each[index]))
        return torch.cat(normed, 1)


class Mask(nn.Module):
    """W₂ x + b₂ for one part of h."""

    def __init__(self, project: Layer) -> None:
        super().__init__()
        self.project = project

    def forward(self, hidden: Tensor) -> Tensor:
        """[B, k] → [B, …]."""
        return self.project([hidden])


class VectorNorm(nn.Module):
    """The layer norm of one of the stem's vectors."""

    def __init__(self, norm: Layer) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, vector: Tensor) -> Tensor:
        """[B, D] → [B, D]."""
        return self.norm(vector)
