"""A network from an architecture: built the same way on weights of its own or on slices of a supernet's.

B batch, I integers, F fields, D embedding width, d and n the widths of a block, P width of the last features.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from modules.space.architecture import MERGER_VECTORS, Architecture, Block, InputShape, balanced_fields
from modules.space.liveness import Liveness, live
from modules.supernet.layers import Layer, Linear, Norm
from modules.supernet.operators import (
    Attention,
    DenseToSparse,
    DotProduct,
    EmbeddedFullyConnected,
    FactorizationMachine,
    FullyConnected,
    SigmoidGating,
    Sum,
)

Columns = tuple[int, int]
"""First column and one past the last, of the widest network's matrix."""

ATTENTION_NORM_SCALE = 0.17
"""Initial scale of the norms behind attention's residuals (NasRec, supernet/modules.py, LN_INIT)."""


class Weights(Protocol):
    """Where a network's layers come from: `OwnWeights` here, `SlicedWeights` in supernet.py."""

    def linear(self, name: str, columns: Sequence[Columns], outputs: int, bias: bool = False) -> Layer:
        """A layer for the inputs that stand at these columns, giving the first `outputs` rows."""
        ...

    def norm(self, name: str, width: int, residual: bool = False) -> Layer:
        """A layer norm over the first `width` entries; `residual`: one behind a sum with attention's own input."""
        ...


class OwnWeights:
    """New layers that own their weights.

    Without `layer_norm` they are the published final networks' (search_space.md): the norms behind products are left
    out and the products carry a bias instead; only attention's residual norms stay.
    """

    def __init__(self, generator: torch.Generator | None = None, layer_norm: bool = True) -> None:
        self.generator, self.layer_norm = generator, layer_norm

    def linear(self, name: str, columns: Sequence[Columns], outputs: int, bias: bool = False) -> nn.Module:
        """A new matrix as wide as the columns together."""
        width = sum(stop - start for start, stop in columns)
        return Linear(width, outputs, bias or not self.layer_norm, self.generator)

    def norm(self, name: str, width: int, residual: bool = False) -> nn.Module:
        """A new norm, or nothing in its place."""
        if residual:
            return Norm(width, ATTENTION_NORM_SCALE)
        return Norm(width) if self.layer_norm else nn.Identity()


class Layout:
    """Where each earlier output stands among the columns of the widest network's matrices.

    Dense: the stem's I columns, then one slot of the largest dense width a block. Sparse: the stem's F columns, then
    one slot a block: the merger's 8 vectors first, then the largest sparse width.
    """

    def __init__(self, shape: InputShape, dense_width: int, sparse_width: int) -> None:
        self.shape, self.dense_width, self.sparse_width = shape, dense_width, sparse_width

    def dense(self, source: int, width: int) -> Columns:
        """Columns of dense output `source`, of which `width` are active."""
        start = 0 if source == 0 else self.shape.integers + (source - 1) * self.dense_width
        return start, start + width

    def sparse(self, source: int, width: int, merged: bool) -> Columns:
        """Columns of sparse output `source`: `width` operator vectors, behind the 8 merged ones if there are any."""
        if source == 0:
            return 0, self.shape.fields
        start = self.shape.fields + (source - 1) * (MERGER_VECTORS + self.sparse_width)
        return start + (0 if merged else MERGER_VECTORS), start + MERGER_VECTORS + width

    def head(self, width: int, vectors: int, merged: bool) -> list[Columns]:
        """Columns of the last dense output and of the last sparse output's vectors, one after the other."""
        size = self.shape.embedding_width
        first = self.dense_width + (0 if merged else MERGER_VECTORS) * size
        return [(0, width), (first, self.dense_width + (MERGER_VECTORS + vectors) * size)]


class BlockNetwork(nn.Module):
    """One block: its operators summed, then its mergers. Dead parts are absent and dead outputs are empty tensors."""

    def __init__(
        self,
        dense: dict[str, nn.Module],
        sparse: dict[str, nn.Module],
        dense_to_sparse: nn.Module | None,
        sparse_to_dense: nn.Module | None,
    ) -> None:
        super().__init__()
        self.dense, self.sparse = nn.ModuleDict(dense), nn.ModuleDict(sparse)
        self.dense_to_sparse, self.sparse_to_dense = dense_to_sparse, sparse_to_dense

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> tuple[Tensor, Tensor]:
        """All earlier outputs → this block's: [B, d] and [B, D, n (+ 8)]."""
        dense_parts: list[Tensor] = []
        for operator in self.dense.values():
            dense_parts.append(operator(dense, sparse))
        sparse_parts: list[Tensor] = []
        for operator in self.sparse.values():
            sparse_parts.append(operator(dense, sparse))
        dense_output, sparse_output = total(dense_parts, dense[0]), total(sparse_parts, dense[0])
        merged_sparse, merged_dense = sparse_output, dense_output
        if self.dense_to_sparse is not None:
            merged_sparse = torch.cat([self.dense_to_sparse(dense_output), sparse_output], dim=2)
        if self.sparse_to_dense is not None:
            merged_dense = dense_output + self.sparse_to_dense(sparse_output)
        return merged_dense, merged_sparse


def total(parts: list[Tensor], like: Tensor) -> Tensor:
    """The sum of the parts; an empty tensor where there are none."""
    if len(parts) == 0:
        return like.new_empty(0)
    result = parts[0]
    for part in parts[1:]:
        result = result + part
    return result


class Subnet(nn.Module):
    """A sub-network: `forward(dense [B, I], sparse [B, F, D]) → logit [B]`. Static, scriptable.

    >>> from modules.space import NASREC_FULL, single_operator_any_connection
    >>> import numpy
    >>> architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(0))
    >>> subnet = Subnet(architecture, InputShape(integers=13, fields=26, embedding_width=16))
    >>> subnet(torch.rand(4, 13), torch.rand(4, 26, 16)).shape
    torch.Size([4])
    """

    def __init__(
        self,
        architecture: Architecture,
        shape: InputShape,
        generator: torch.Generator | None = None,
        weights: Weights | None = None,
        layout: Layout | None = None,
    ) -> None:
        super().__init__()
        weights = weights or OwnWeights(generator)
        layout = layout or _own_layout(architecture, shape)
        self.blocks = nn.ModuleList(
            _build_block(architecture, number, alive, layout, weights)
            for number, alive in enumerate(live(architecture), start=1)
        )
        last, merged = architecture.blocks[-1], architecture.blocks[-1].dense_to_sparse
        self.head: Layer = weights.linear(
            "head", layout.head(last.dense_width, last.sparse_width, merged), 1, bias=True
        )

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Dense [B, I], sparse [B, F, D] → logit [B]."""
        dense_last, sparse_last = self._last(dense, sparse)
        return self.head([dense_last, sparse_last]).squeeze(1)

    @torch.jit.export
    def features(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """What the head reads: [B, P]. The logit is its product with the head's weight, plus bias."""
        dense_last, sparse_last = self._last(dense, sparse)
        return torch.cat([dense_last, sparse_last], dim=1)

    def _last(self, dense: Tensor, sparse: Tensor) -> tuple[Tensor, Tensor]:
        dense_outputs = [dense]
        sparse_outputs = [sparse.transpose(1, 2).contiguous()]  # [B, D, F]
        for block in self.blocks:
            dense_output, sparse_output = block(dense_outputs, sparse_outputs)
            dense_outputs.append(dense_output)
            sparse_outputs.append(sparse_output)
        return dense_outputs[-1], sparse_outputs[-1].transpose(1, 2).flatten(1)  # [B, d], [B, n D]


def _own_layout(architecture: Architecture, shape: InputShape) -> Layout:
    widest = max(block.dense_width for block in architecture.blocks)
    return Layout(shape, widest, max(block.sparse_width for block in architecture.blocks))


def _build_block(
    architecture: Architecture, number: int, alive: Liveness, layout: Layout, weights: Weights
) -> BlockNetwork:
    block, path, size = architecture.blocks[number - 1], f"blocks.{number - 1}", layout.shape.embedding_width
    inputs = _Inputs(architecture, layout)
    dense = {
        name: _build_dense(name, f"{path}.dense.{name}", block, inputs, weights)
        for name in (block.dense_operators if alive.dense else ())
    }
    sparse = {
        name: _build_sparse(name, f"{path}.sparse.{name}", block, inputs, weights)
        for name in (block.sparse_operators if alive.sparse else ())
    }
    dense_to_sparse, sparse_to_dense = None, None
    if alive.dense_to_sparse:
        merger = f"{path}.dense_to_sparse"
        vectors = MERGER_VECTORS * size
        project = weights.linear(f"{merger}.project", [(0, block.dense_width)], vectors)
        dense_to_sparse = DenseToSparse(MERGER_VECTORS, project, weights.norm(f"{merger}.norm", vectors))
    if alive.sparse_to_dense:
        merger = f"{path}.sparse_to_dense"
        project = weights.linear(f"{merger}.project", [(0, size)], block.dense_width)
        sparse_to_dense = FactorizationMachine(project, weights.norm(f"{merger}.norm", block.dense_width))
    return BlockNetwork(dense, sparse, dense_to_sparse, sparse_to_dense)


class _Inputs:
    """Widths and columns of the outputs that a block may read."""

    def __init__(self, architecture: Architecture, layout: Layout) -> None:
        self.architecture, self.layout, self.shape = architecture, layout, layout.shape

    def width(self, source: int) -> int:
        return self.shape.integers if source == 0 else self.architecture.blocks[source - 1].dense_width

    def dense(self, sources: tuple[int, ...]) -> list[Columns]:
        return [self.layout.dense(source, self.width(source)) for source in sources]

    def sparse(self, sources: tuple[int, ...]) -> list[Columns]:
        return [self._sparse(source) for source in sources]

    def _sparse(self, source: int) -> Columns:
        block = self.architecture.blocks[source - 1]
        return self.layout.sparse(source, block.sparse_width, block.dense_to_sparse)


def _build_dense(name: str, path: str, block: Block, inputs: _Inputs, weights: Weights) -> nn.Module:
    d, size = block.dense_width, inputs.shape.embedding_width
    norm = weights.norm(f"{path}.norm", d)
    left, right = inputs.width(block.left), inputs.width(block.right)
    match name:
        case "fc":
            project = weights.linear(f"{path}.project", inputs.dense(block.dense_inputs), d)
            return FullyConnected(list(block.dense_inputs), project, norm)
        case "dot_product":
            k = balanced_fields(d)
            return DotProduct(
                list(block.dense_inputs),
                list(block.sparse_inputs),
                weights.linear(f"{path}.project_dense", inputs.dense(block.dense_inputs), size),
                weights.norm(f"{path}.norm_dense", size),
                weights.linear(f"{path}.project_fields", inputs.sparse(block.sparse_inputs), k),
                weights.norm(f"{path}.norm_fields", k),
                weights.linear(f"{path}.project", [(0, size), (size, size + k * (k + 1) // 2)], d),
                norm,
            )
        case "sigmoid_gating":
            gate = weights.linear(f"{path}.gate", [(0, left)], right, bias=True)
            return SigmoidGating(
                block.left, block.right, gate, weights.linear(f"{path}.project", [(0, right)], d), norm
            )
        case "sum":
            project = weights.linear(f"{path}.project", [(0, max(left, right))], d)
            return Sum(block.left, block.right, project, norm)
    raise AssertionError(name)


def _build_sparse(name: str, path: str, block: Block, inputs: _Inputs, weights: Weights) -> nn.Module:
    n, size = block.sparse_width, inputs.shape.embedding_width
    project = weights.linear(f"{path}.project", inputs.sparse(block.sparse_inputs), n)
    norm = weights.norm(f"{path}.norm", n)
    match name:
        case "efc":
            return EmbeddedFullyConnected(list(block.sparse_inputs), project, norm)
        case "attention":
            square = [(0, size)]
            return Attention(
                list(block.sparse_inputs),
                inputs.shape.attention_heads,
                project,
                norm,
                weights.linear(f"{path}.query_key_value", square, 3 * size, bias=True),
                weights.linear(f"{path}.output", square, size, bias=True),
                weights.norm(f"{path}.norm_attention", size, residual=True),
                weights.linear(f"{path}.expand", square, size, bias=True),
                weights.linear(f"{path}.contract", square, size, bias=True),
                weights.norm(f"{path}.norm_output", size, residual=True),
            )
    raise AssertionError(name)
