"""Attention: a transformer layer over n projected fields (NASRec, arXiv:2207.07187).

X = LN(W X); X = LN(X + MHA(X)); X = LN(X + FC(ReLU(FC(X)))). The fields are the tokens; H heads of width D / H.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.operators.inputs import Inputs, InputShape, Read
from modules.operators.kernels import attention
from modules.operators.layers import Layer
from modules.operators.operator import Choices, Operator
from modules.operators.step import ComputedProduct, LayerNorm, Matrix, Step

MOST_HEADS = 8
"""NASRec's number of heads, where it divides D."""
SOFTMAX_OPERATIONS = 3
"""Elementwise operations that softmax spends on one score beside the exponential: maximum, sum, divide."""
NASREC_NORM_OPERATIONS = 5
"""What fvcore counts for one number of a layer norm with scale and shift."""


@dataclass(frozen=True)
class Attention(Operator):
    """Multi-head self-attention and two FCs over n projected fields, each with residual and norm."""

    name = "attention"
    title = "Attention"
    outline = "hexagon"
    branch = "sparse"

    def width(self, block: Choices, shape: InputShape) -> int:
        """The block's sparse width n."""
        return block.sparse_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        """The joined sparse inputs."""
        return tuple(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        """Projection to n tokens, queries, keys and values with the attention, its output, and the two FCs."""
        n, size = block.sparse_width, inputs.shape.embedding_width
        heads = heads_of(size)
        numbers, scores, fields = n * size, n * n * heads, inputs.sparse_columns(block.sparse_inputs)
        products = (
            ComputedProduct(n, size // heads, n, heads, n * n * size),  # QKᵀ
            ComputedProduct(n, n, size // heads, heads, n * n * size),  # AV
        )

        def square(outputs: int) -> Matrix:
            return Matrix(((0, size),), outputs, vectors=n, bias=True)

        return (
            Step("project", self.reads(block), Matrix(fields, n, vectors=size), LayerNorm("norm", n, size)),
            Step(
                "query_key_value",
                ("project",),
                square(3 * size),
                computed=products,
                elementwise_operations=SOFTMAX_OPERATIONS * scores,
                function_evaluations=scores,
            ),
            Step(
                "output",
                ("query_key_value",),
                square(size),
                LayerNorm("norm_attention", size, n, residual=True),
                elementwise_operations=numbers,  # the residual sum
            ),
            Step("expand", ("output",), square(size), elementwise_operations=numbers),  # ReLU
            Step(
                "contract",
                ("expand",),
                square(size),
                LayerNorm("norm_output", size, n, residual=True),
                elementwise_operations=numbers,  # the residual sum
            ),
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        """A transformer layer over the projected fields."""
        return AttentionNetwork(
            list(block.sparse_inputs),
            heads_of(inputs.shape.embedding_width),
            layers["project"],
            layers["norm"],
            layers["query_key_value"],
            layers["output"],
            layers["norm_attention"],
            layers["expand"],
            layers["contract"],
            layers["norm_output"],
        )

    def nasrec_multiply_accumulates(self, block: Choices, inputs: Inputs) -> int:
        """All projections, both products of computed operands, and the two residual norms, which are never left out."""
        n, size = block.sparse_width, inputs.shape.embedding_width
        projections = size * inputs.sparse_width(block.sparse_inputs) * n + 6 * n * size * size
        norms = 2 * NASREC_NORM_OPERATIONS * n * size
        return projections + norms + self.nasrec_attention_products(block, inputs)

    def nasrec_attention_products(self, block: Choices, inputs: Inputs) -> int:
        """QKᵀ and AV."""
        return 2 * block.sparse_width**2 * inputs.shape.embedding_width


class AttentionNetwork(nn.Module):
    """X = LN(W X); X = LN(X + MHA(X)); X = LN(X + FC(ReLU(FC(X))))."""

    def __init__(
        self,
        inputs: list[int],
        heads: int,
        project: Layer,
        norm: Layer,
        query_key_value: Layer,
        output: Layer,
        norm_attention: Layer,
        expand: Layer,
        contract: Layer,
        norm_output: Layer,
    ) -> None:
        super().__init__()
        self.inputs, self.heads = inputs, heads
        self.project, self.norm = project, norm
        self.query_key_value, self.output, self.norm_attention = query_key_value, output, norm_attention
        self.expand, self.contract, self.norm_output = expand, contract, norm_output

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, D, n]."""
        fields = self.norm(self.project([sparse[i] for i in self.inputs]))  # [B, D, n]
        x = fields.transpose(1, 2).contiguous()  # [B, n, D]: the fields are the tokens
        x = self.norm_attention(x + self.output([attend(self.query_key_value([x]), self.heads)]))
        hidden = self.expand([x])
        hidden = hidden.relu() if torch.jit.is_scripting() else hidden.relu_()
        x = self.norm_output(x + self.contract([hidden]))
        return x.transpose(1, 2).contiguous()


def attend(query_key_value: Tensor, heads: int) -> Tensor:
    """softmax(QKᵀ / √w) V in every head, scripted or not: the joined projections [B, n, 3 D] → [B, n, D]."""
    if not torch.jit.is_scripting():
        return attention(query_key_value, heads)
    batch, tokens, joined = query_key_value.shape
    width = joined // 3
    split = query_key_value.view(batch, tokens, 3, heads, width // heads)
    query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, n, D / heads]
    attended = functional.scaled_dot_product_attention(query, key, value)
    return attended.transpose(1, 2).reshape(batch, tokens, width)


def heads_of(embedding_width: int) -> int:
    """The largest number of heads up to 8 that divides D.

    >>> heads_of(16), heads_of(10)
    (8, 5)
    """
    return max(heads for heads in range(1, MOST_HEADS + 1) if embedding_width % heads == 0)
