"""Field product: act(LN(Σ_t (A_t X) ⊙ (B_t S))), X the stem's vectors, S the joined sparse inputs.

Linear mixes of the stem's vectors times linear mixes of others, number by number: stacked, products of any order. That
is the low-rank form of xDeepFM's interaction (arXiv:1803.05170; the full one is in compressed_interaction.py) and of
Wukong's (arXiv:2403.02545).

B batch, D embedding width, n sparse width, s vectors of the joined inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from modules.operators.activation import ACTIVATIONS, activate, activation_operations
from modules.operators.ending import norm_or_nothing
from modules.operators.inputs import Inputs, Read, StemShape
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, Options
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class FieldProduct(Operator):
    """act(LN(Σ_t (A_t X) ⊙ (B_t S)))."""

    terms: int = 1
    """Terms that are summed, at least 1: the most that the rank of an output vector's form in X and S can be."""
    norm: bool = True
    """Whether the sum is normed over the n vectors."""
    activation: str = "none"
    """What follows: one of `ACTIVATIONS`."""

    name = "field_product"
    title = "Field product"
    outline = "hexagon"
    branch = "sparse"
    options: ClassVar[Options] = {
        "terms": (1, 2, 4),
        "norm": (False, True),
        "activation": ACTIVATIONS,
    }

    def __post_init__(self) -> None:
        if self.terms < 1:
            raise ValueError(f"{self.name}, terms: {self.terms}; at least one term is summed")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"{self.name}, activation: {self.activation!r}; it is one of {list(ACTIVATIONS)}")

    def width(self, block: Choices, shape: StemShape) -> int:
        """The block's sparse width n."""
        return block.sparse_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The stem and the joined sparse inputs."""
        return Read("sparse", 0, "stem"), *(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """Two mixes a term for each of the D embedding dimensions; the second has the product and the sum so far."""
        n, size = block.sparse_width, inputs.shape.embedding_width
        stem, *joined = self.reads(block)
        left = Matrix((inputs.sparse[0].columns,), n, vectors=size)
        right = Matrix(inputs.sparse_columns(block.sparse_inputs), n, vectors=size)
        steps: list[Step] = []
        for term in range(self.terms):
            last = term == self.terms - 1
            steps.append(Step(f"terms.{term}.left", (stem,), left))
            before = (f"terms.{term - 1}.right",) if term else ()
            operations, evaluations = activation_operations(self.activation, n * size) if last else (0, 0)
            steps.append(
                Step(
                    f"terms.{term}.right",
                    (f"terms.{term}.left", *joined, *before),
                    right,
                    LayerNorm("norm", n, size) if last and self.norm else None,
                    products=n * size,
                    elementwise_operations=operations + (n * size if term else 0),  # the sum so far
                    function_evaluations=evaluations,
                )
            )
        return tuple(steps)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """The terms, their sum, norm and activation."""
        terms = [Term(layers[f"terms.{t}.left"], layers[f"terms.{t}.right"]) for t in range(self.terms)]
        norm = norm_or_nothing(layers, self.norm)
        return FieldProductNetwork(list(block.sparse_inputs), terms, norm, self.activation)


class FieldProductNetwork(nn.Module):
    """act(LN(Σ_t (A_t X) ⊙ (B_t S)))."""

    def __init__(self, inputs: list[int], terms: Sequence[nn.Module], norm: Layer, activation: str) -> None:
        super().__init__()
        self.inputs, self.terms, self.norm, self.activation = inputs, nn.ModuleList(terms), norm, activation

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, D, n]."""
        joined = [sparse[i] for i in self.inputs]
        products: list[Tensor] = []
        for term in self.terms:
            products.append(term(sparse[0], joined))
        x = products[0]
        for product in products[1:]:
            x = x + product
        return activate(self.norm(x), self.activation)


class Term(nn.Module):
    """(A X) ⊙ (B S)."""

    def __init__(self, left: Layer, right: Layer) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, stem: Tensor, joined: list[Tensor]) -> Tensor:
        """[B, D, F] and [B, D, …] → [B, D, n]."""
        return self.left([stem]) * self.right(joined)
