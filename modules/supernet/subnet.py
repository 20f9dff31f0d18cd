"""A network from an architecture: built the same way on weights of its own or on slices of a supernet's.

B batch, I integers, F fields, D embedding width, d and n the widths of a block, P width of the last features.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from modules.integers import Standardization
from modules.operators import (
    FLOAT,
    Columns,
    InputShape,
    Layer,
    LayerNorm,
    Linear,
    LowBitLinear,
    Norm,
    Precision,
    build,
)
from modules.operators.flatten import joined
from modules.space.architecture import Architecture
from modules.space.plan import Part, Slots, plan

RESIDUAL_NORM_SCALE = 0.17
"""Initial scale of the norms behind residual sums (NasRec, supernet/modules.py, LN_INIT)."""


class Weights(Protocol):
    """Where a network's layers come from: `OwnWeights` here, `SlicedWeights` in supernet.py."""

    def linear(
        self,
        name: str,
        columns: Sequence[Columns],
        outputs: int,
        bias: bool = False,
        precision: Precision | None = FLOAT,
    ) -> Layer:
        """A layer for the inputs that stand at these columns, giving the first `outputs` rows."""
        ...

    def norm(self, name: str, width: int, residual: bool = False) -> Layer:
        """A layer norm over the first `width` entries; `residual`: one behind a residual sum."""
        ...


class OwnWeights:
    """New layers that own their weights.

    Without `layer_norm` they are the published final networks' (NASRec): the norms behind products are left out and the
    products carry a bias instead; only the norms behind residual sums stay.
    """

    def __init__(self, generator: torch.Generator | None = None, layer_norm: bool = True) -> None:
        self.generator, self.layer_norm = generator, layer_norm

    def linear(
        self,
        name: str,
        columns: Sequence[Columns],
        outputs: int,
        bias: bool = False,
        precision: Precision | None = FLOAT,
    ) -> nn.Module:
        """A new matrix as wide as the columns together."""
        width, has_bias = sum(stop - start for start, stop in columns), bias or not self.layer_norm
        if precision is FLOAT:
            return Linear(width, outputs, has_bias, self.generator)
        return LowBitLinear(width, outputs, has_bias, precision, self.generator)

    def norm(self, name: str, width: int, residual: bool = False) -> nn.Module:
        """A new norm, or nothing in its place."""
        if residual:
            return Norm(width, RESIDUAL_NORM_SCALE)
        return Norm(width) if self.layer_norm else nn.Identity()


class BlockNetwork(nn.Module):
    """One block: its operators summed, then its mergers. Dead parts are absent and dead outputs are empty tensors."""

    def __init__(self, parts: Sequence[tuple[Part, nn.Module]]) -> None:
        super().__init__()
        dense = {part.operator.name: module for part, module in parts if part.operator.branch == "dense"}
        sparse = {part.operator.name: module for part, module in parts if part.operator.branch == "sparse"}
        mergers = {part.operator.branch: module for part, module in parts}
        self.dense, self.sparse = nn.ModuleDict(dense), nn.ModuleDict(sparse)
        self.dense_to_sparse = mergers.get("dense_to_sparse")
        self.sparse_to_dense = mergers.get("sparse_to_dense")

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

    Where the shape says that tables have widths of their own, `sparse` is their rows side by side, [B, W].

    >>> from modules.space import NASREC_FULL, single_operator_any_connection
    >>> import numpy
    >>> architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(0))
    >>> subnet = Subnet(architecture, InputShape(integers=13, fields=26, embedding_width=16))
    >>> subnet(torch.rand(4, 13), torch.rand(4, 26, 16)).shape
    torch.Size([4])
    """

    dense_features: list[int]
    sparse_features: list[int]

    def __init__(
        self,
        architecture: Architecture,
        shape: InputShape,
        generator: torch.Generator | None = None,
        weights: Weights | None = None,
        slots: Slots | None = None,
        integers: Standardization | None = None,
    ) -> None:
        """`integers`: how they are standardized before anything else; by default they are read as they are."""
        super().__init__()
        self.integers = integers or Standardization()
        weights = weights or OwnWeights(generator)
        parts = plan(architecture, shape, slots)
        modules = [(part, _network(part, weights)) for part in parts]
        numbers = range(1, len(architecture.blocks) + 1)
        self.blocks = nn.ModuleList(
            BlockNetwork([(part, module) for part, module in modules if part.number == number]) for number in numbers
        )
        ends = {part.path: module for part, module in modules if part.number == 0}
        self.projections, self.stem = ends.get("projections"), ends.get("stem")
        self.embedding_width = shape.embedding_width
        self.dense_features = list(architecture.logit.dense)
        self.sparse_features = list(architecture.logit.sparse)
        self.head: Layer = modules[-1][1]

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Dense [B, I], sparse [B, F, D] → logit [B]."""
        return self.head(self._head_inputs(dense, sparse)).squeeze(1)

    @torch.jit.export
    def features(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """What the head reads: [B, P]. The logit is its product with the head's weight, plus bias."""
        return torch.cat(self._head_inputs(dense, sparse), dim=1)

    def _head_inputs(self, dense: Tensor, sparse: Tensor) -> list[Tensor]:
        """The dense outputs [B, d] and the flattened sparse outputs [B, n D] that the head joins."""
        dense = self.integers(dense)
        if self.projections is not None:
            sparse = self.projections(sparse)
        vectors = sparse.transpose(1, 2)  # [B, D, F]
        if self.stem is not None:
            dense = self.stem(dense)  # [B, V D]
            made = dense.view(dense.shape[0], -1, self.embedding_width).transpose(1, 2)  # [B, D, V]
            vectors = torch.cat([vectors, made], dim=2)
        dense_outputs = [dense]
        sparse_outputs = [vectors.contiguous()]
        for block in self.blocks:
            dense_output, sparse_output = block(dense_outputs, sparse_outputs)
            dense_outputs.append(dense_output)
            sparse_outputs.append(sparse_output)
        return joined(dense_outputs, sparse_outputs, self.dense_features, self.sparse_features)


def _network(part: Part, weights: Weights) -> nn.Module:
    return build(part.path, part.operator, part.block, part.inputs, _layers(part, weights))


def _layers(part: Part, weights: Weights) -> Mapping[str, Layer]:
    """The layers that the part's steps describe, by their names in the operator.

    They are made step by step, but for a dense operator's last norm, which comes first: the order of a path's slices is
    the order in which their gradients' norms are added up, and stays what it was.
    """
    layers: dict[str, Layer] = {}

    def make_norm(norm: LayerNorm | None) -> None:
        if norm is not None and norm.name not in layers:
            layers[norm.name] = weights.norm(part.layer_path(norm.name), norm.width, norm.residual)

    if part.operator.branch == "dense":
        make_norm(part.steps[-1].norm)
    for step in part.steps:
        if matrix := step.matrix:
            path = part.layer_path(step.name)
            layers[step.name] = weights.linear(path, matrix.columns, matrix.outputs, matrix.bias, part.precision)
        make_norm(step.norm)
    return layers
