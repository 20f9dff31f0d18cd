"""Factorized product: act(LN((V x + c) ⊙ (W x + b) + residual)), x the joined dense inputs, the flattened stem or both.

FinalNet's factorized interaction (SIGIR'23, doi:10.1145/3539618.3591988) has the left factor itself as its residual; a
projection of its own, U x, is more general.

B batch, d dense width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from modules.operators.activation import activation_operations
from modules.operators.ending import ENDING_OPTIONS, Ending, norm_or_nothing
from modules.operators.flatten import flattened_stem
from modules.operators.inputs import STEM_READS, Columns, Inputs, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, Options
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class FactorizedProduct(Operator):
    """act(LN((V x + c) ⊙ (W x + b) + residual))."""

    source: str = "dense"
    """What x is: the "dense" inputs, the flattened "stem" x₀, or "both", x₀ first."""
    residual: str = "left"
    """What is added to the product: "left" for the factor V x + c itself, "projected" for U x."""
    norm: bool = True
    """Whether there is a layer norm before the activation."""
    activation: str = "relu"
    """What follows: one of `ACTIVATIONS`."""
    dropout: float = 0.0
    """Share of the output's numbers that is dropped in training, at least 0 and less than 1."""

    name = "factorized_product"
    title = "Factorized product"
    outline = "hexagon"
    branch = "dense"
    options: ClassVar[Options] = {
        "source": ("dense", "stem", "both"),
        "residual": ("left", "projected"),
        **ENDING_OPTIONS,
    }

    def __post_init__(self) -> None:
        for name in ("source", "residual", "activation"):
            if getattr(self, name) not in self.options[name]:
                known = list(self.options[name])
                raise ValueError(f"{self.name}, {name}: {getattr(self, name)!r}; it is one of {known}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"{self.name}, dropout: {self.dropout}; it is at least 0 and less than 1")

    def width(self, block: Choices, shape: StemShape) -> int:
        """The block's dense width d."""
        return block.dense_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The stem, the joined dense inputs, or both."""
        stem = STEM_READS if self.source != "dense" else ()
        return *stem, *(Read("dense", source) for source in self._joined(block))

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """Both factors, and the residual's projection where it has one."""
        d, reads, columns = block.dense_width, self.reads(block), self._columns(block, inputs)
        factor = Matrix(columns, d, bias=True)
        norm = LayerNorm("norm", d) if self.norm else None
        operations, evaluations = activation_operations(self.activation, d)
        left = Step("left", reads, factor)
        if self.residual == "left":
            return left, Step("right", (*reads, "left"), factor, norm, d, (), d + operations, evaluations)
        residual = Matrix(columns, d)
        return (
            left,
            Step("right", (*reads, "left"), factor, products=d),
            Step("residual", (*reads, "right"), residual, norm, 0, (), d + operations, evaluations),
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The product with its residual, norm, activation and dropout."""
        return FactorizedProductNetwork(
            inputs.shape.stem_vectors if self.source != "dense" else None,
            list(self._joined(block)),
            layers["left"],
            layers["right"],
            layers["residual"] if self.residual == "projected" else None,
            norm_or_nothing(layers, self.norm),
            Ending(self.activation, self.dropout),
        )

    def _joined(self, block: Choices) -> tuple[int, ...]:
        return block.dense_inputs if self.source != "stem" else ()

    def _columns(self, block: Choices, inputs: Inputs) -> tuple[Columns, ...]:
        stem = inputs.stem_columns() if self.source != "dense" else ()
        return stem + inputs.joined_columns(self._joined(block), (), inputs.stem_size)


class FactorizedProductNetwork(nn.Module):
    """act(LN((V x + c) ⊙ (W x + b) + residual)); `stem_vectors` is None where x₀ is not part of x."""

    inputs: list[int]  # may be empty, and TorchScript cannot infer what an empty list holds

    def __init__(
        self,
        stem_vectors: int | None,
        inputs: list[int],
        left: Layer,
        right: Layer,
        residual: Layer | None,
        norm: Layer,
        ending: Ending,
    ) -> None:
        super().__init__()
        self.reads_stem, self.stem_vectors, self.inputs = stem_vectors is not None, stem_vectors or 0, inputs
        self.left, self.right, self.residual = left, right, residual
        self.norm, self.ending = norm, ending

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        joined: list[Tensor] = []
        if self.reads_stem:
            joined += flattened_stem(dense, sparse, self.stem_vectors)
        joined += [dense[i] for i in self.inputs]
        left = self.left(joined)  # [B, d]
        residual = left if self.residual is None else self.residual(joined)
        return self.ending(self.norm(left * self.right(joined) + residual))
