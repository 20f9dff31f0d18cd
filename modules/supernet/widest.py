"""The layers of a supernet: of every operator of a space in every place, each as large as any sub-network's.

They are found from the operators' descriptions: each layer is as large as the largest that any variant describes.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from modules.operators import BITS, FLOAT, Head, InputShape, LayerNorm, Linear, Matrix, Norm, Stem, check_steps
from modules.operators.low_bit import INPUT_RANGE, UNSET
from modules.space.architecture import PRECISION_FIELDS
from modules.space.plan import STEM_BLOCK, Part, Slots, block_part, stem_part
from modules.space.search_space import SearchSpace
from modules.supernet.subnet import RESIDUAL_NORM_SCALE


@dataclass(frozen=True)
class Extent:
    """How large a layer is."""

    outputs: int
    """Rows of a matrix, or entries of a norm."""
    inputs: int
    """Columns of a matrix; 0 for a norm."""
    bias: bool
    """Whether a matrix has a bias."""
    residual: bool
    """Whether a norm stands behind a residual sum."""
    has_bits: bool = False
    """Whether a matrix can have bits, and so has the logarithm of a clip for each number of them."""

    def around(self, other: "Extent") -> "Extent":
        """The smallest that holds both."""
        return Extent(
            max(self.outputs, other.outputs),
            max(self.inputs, other.inputs),
            self.bias or other.bias,
            self.residual or other.residual,
            self.has_bits or other.has_bits,
        )


def widest_slots(space: SearchSpace, shape: InputShape) -> Slots:
    """The widest outputs of each block of the space, whatever operator makes them."""
    stem = max(space.stems, key=lambda choice: choice.vectors)
    behind = stem.behind(shape)
    integers = 0 if all(choice.vectors for choice in space.stems) else shape.integers
    dense, sparse, merged = [integers + stem.vectors * shape.embedding_width], [behind.vectors], [0]
    for number in range(1, space.num_blocks + 1):
        block = space.widest_block(number)
        for widths, operators in ((dense, block.dense_operators), (sparse, block.sparse_operators)):
            variants = (variant for operator in operators for variant in operator.variants())
            widths.append(max(variant.width(block, behind) for variant in variants))
        merged.append(block.dense_to_sparse.width(block, behind) if block.dense_to_sparse else 0)
    outputs = tuple(range(len(dense)) if space.free_head else [space.num_blocks])
    return Slots(tuple(dense), tuple(sparse), tuple(merged), integers, Head(outputs, outputs))


def widest_layers(
    space: SearchSpace, shape: InputShape, slots: Slots, generator: torch.Generator | None = None
) -> nn.Module:
    """The layers, each under its path in a `Subnet`."""
    extents: dict[str, Extent] = {}
    can_have_bits = space.precisions != (FLOAT,)
    for path, extent in _extents(_parts(space, shape, slots), can_have_bits):
        extents[path] = extents[path].around(extent) if path in extents else extent
    root = nn.Module()
    for path, extent in extents.items():
        layer: nn.Module
        if extent.inputs:
            layer = Linear(extent.inputs, extent.outputs, extent.bias, generator)
            if extent.has_bits:
                layer.register_parameter(INPUT_RANGE, nn.Parameter(torch.full((len(BITS),), UNSET)))
        else:
            layer = Norm(extent.outputs, RESIDUAL_NORM_SCALE if extent.residual else 1.0)
        _place(root, path, layer)
    return root


def _parts(space: SearchSpace, shape: InputShape, slots: Slots) -> Iterator[Part]:
    """Every stem, every variant of every operator in every place, with all inputs, and the head.

    With the most and with the fewest vectors of the stem: some columns are the integers' alone.
    """
    by_vectors = {stem.vectors: stem for stem in space.stems}
    stems = [by_vectors[vectors] for vectors in sorted({max(by_vectors), min(by_vectors)}, reverse=True)]
    for stem in space.stems:
        if stem.vectors:
            yield stem_part(stem, shape)
    for number in range(1, space.num_blocks + 1):
        _, source = max((width, output) for output, width in enumerate(slots.dense[:number]))
        block = dataclasses.replace(space.widest_block(number), left=source, right=source)
        inputs = [_own(stem, slots, shape).inputs(number, stem.behind(shape), slots) for stem in stems]
        for operator in block.operators():
            for variant in operator.variants():
                yield from (block_part(variant, number, block, one) for one in inputs)
    last = space.num_blocks + 1
    for stem in stems:
        inputs_of_head = _own(stem, slots, shape).inputs(last, stem.behind(shape), slots)
        yield Part("head", slots.head, last, STEM_BLOCK, inputs_of_head)


def _own(stem: Stem, slots: Slots, shape: InputShape) -> Slots:
    """The widest network's outputs with this stem."""
    dense = (stem.dense_width(shape), *slots.dense[1:])
    sparse = (stem.behind(shape).vectors, *slots.sparse[1:])
    integers = 0 if stem.vectors else shape.integers
    return dataclasses.replace(slots, dense=dense, sparse=sparse, integers=integers)


def _extents(parts: Iterable[Part], can_have_bits: bool) -> Iterator[tuple[str, Extent]]:
    """How large each part's layers are. Raises ValueError for a description that cannot be built."""
    for part in parts:
        check_steps(part.path, part.steps, part.operator.reads(part.block))
        for step in part.steps:
            if step.matrix is not None:
                has_bits = can_have_bits and part.operator.branch in PRECISION_FIELDS
                yield part.layer_path(step.name), _of_matrix(step.matrix, has_bits)
            if step.norm is not None:
                yield part.layer_path(step.norm.name), _of_norm(step.norm)


def _of_matrix(matrix: Matrix, has_bits: bool) -> Extent:
    return Extent(
        matrix.outputs, max(stop for _, stop in matrix.columns), matrix.bias, residual=False, has_bits=has_bits
    )


def _of_norm(norm: LayerNorm) -> Extent:
    return Extent(norm.width, 0, bias=False, residual=norm.residual)


def _place(root: nn.Module, path: str, layer: nn.Module) -> None:
    """Put the layer at the path, with the modules on the way to it."""
    *folders, name = path.split(".")
    at = root
    for folder in folders:
        if not hasattr(at, folder):
            at.add_module(folder, nn.Module())
        at = at.get_submodule(folder)
    at.add_module(name, layer)
