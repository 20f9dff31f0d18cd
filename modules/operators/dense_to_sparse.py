"""The dense → sparse merger: LN(W x) as more vectors of the block's sparse output (NASRec, arXiv:2207.07187)."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator, unless_equal
from modules.operators.step import LayerNorm, Matrix, Step


@dataclass(frozen=True)
class DenseToSparse(Operator):
    """LN(W x), x what the block's dense operators make, cut into vectors of width D."""

    vectors: int = 8
    """Vectors that are added to the block's sparse output, at least 1 (NasRec: DS_INTERACT_NUM_SPLITS)."""

    name = "dense_to_sparse"
    outline = "chip"
    branch = "dense_to_sparse"

    def __post_init__(self) -> None:
        if self.vectors < 1:
            raise ValueError(f"DenseToSparse.vectors is {self.vectors}; it must be at least 1")

    @property
    def title(self) -> str:
        """The number of vectors that it adds.

        >>> DenseToSparse().title
        '+8'
        """
        return f"+{self.vectors}"

    def width(self, block: Choices, shape: InputShape) -> int:
        """The vectors that it adds."""
        return self.vectors

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """What the block's own dense operators make."""
        return (Read("dense", None, "own"),)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """One projection with its norm."""
        width = self.vectors * inputs.shape.embedding_width
        matrix = Matrix(((0, inputs.own_dense),), width)
        return (Step("project", self.reads(block), matrix, LayerNorm("norm", width)),)

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """LN(W x) as vectors."""
        return DenseToSparseNetwork(self.vectors, layers["project"], layers["norm"])

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int:
        """The projection's."""
        return unless_equal(inputs.own_dense, self.vectors * inputs.shape.embedding_width)


class DenseToSparseNetwork(nn.Module):
    """LN(W x) as `vectors` more sparse vectors."""

    def __init__(self, vectors: int, project: Layer, norm: Layer) -> None:
        super().__init__()
        self.vectors = vectors
        self.project, self.norm = project, norm

    def forward(self, dense: Tensor) -> Tensor:
        """[B, d] → [B, D, vectors]."""
        x = self.norm(self.project([dense]))  # [B, D · vectors]
        return x.view(x.shape[0], x.shape[1] // self.vectors, self.vectors)
