"""The weight-sharing supernet: the widest network of a space; a sub-network is a view of its weights.

B batch, I integers, F fields, D embedding width.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modules.integers import Standardization
from modules.operators import FLOAT, Columns, InputShape, Layer, Precision
from modules.operators.layers import SlicedLinear, SlicedNorm
from modules.operators.low_bit import INPUT_RANGE, SlicedLowBitLinear, range_entry
from modules.space.architecture import Architecture
from modules.space.search_space import SearchSpace
from modules.supernet.subnet import Subnet
from modules.supernet.widest import widest_layers, widest_slots

Rectangle = tuple[slice, ...]
"""Where in a parameter, a slice for each dimension."""


@dataclass(frozen=True)
class Slice:
    """A rectangle of one parameter that a training step may touch."""

    name: str
    """Name of the parameter in the supernet (or in a standalone network)."""
    index: Rectangle
    """Where in the parameter; () is all of it."""
    leaf: Tensor
    """The rectangle as an autograd leaf that shares the parameter's memory; its `.grad` is the slice's gradient."""
    parts: tuple[Rectangle, ...] = ()
    """Where in the rectangle the step's paths have weights, where that may not be everywhere; () is all of it."""
    inputs: int = 0
    """Inputs of the layer whose weights these are: the columns of all slices that a path takes of its matrix. 0: the
    rectangle's own, which are all there are."""

    def held(self) -> Tensor | None:
        """Whether a path holds each weight of the rectangle, [as the leaf]; None where all are held."""
        if not self.parts:
            return None
        held = torch.zeros_like(self.leaf, dtype=torch.bool)
        for part in self.parts:
            held[part] = True
        return held


@dataclass(frozen=True)
class Path:
    """A sub-network on a supernet's weights, and the slices it uses."""

    network: nn.Module
    """Computes (dense [B, I], sparse [B, F, D]) → logit [B]; backward fills the slices' gradients."""
    slices: tuple[Slice, ...]
    """Every active rectangle, once, in a fixed order given by the architecture."""


class Supernet(nn.Module):
    """All architectures of a space in one set of weights.

    `forward` takes the architecture as a value; the module never remembers one. Its cost in time, memory and
    gradients is the sub-network's: weights are sliced, never masked, and layer norms run over the active width.

    >>> from modules.space import NASREC_SMALL, single_operator_any_connection
    >>> import numpy
    >>> supernet = Supernet(NASREC_SMALL, InputShape(integers=13, fields=26, embedding_width=16))
    >>> architecture = single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0))
    >>> supernet(torch.rand(4, 13), torch.rand(4, 26, 16), architecture).shape
    torch.Size([4])
    """

    def __init__(
        self,
        space: SearchSpace,
        shape: InputShape,
        generator: torch.Generator | None = None,
        integers: Standardization | None = None,
    ) -> None:
        """`integers`: how all its networks standardize them; by default they are read as they are."""
        super().__init__()
        if set(shape.widths) != {shape.embedding_width}:
            raise ValueError(f"InputShape.table_widths is {shape.table_widths}; a supernet's tables are as wide as D")
        self.space, self.shape = space, shape
        self.integers = integers or Standardization()
        self.slots = widest_slots(space, shape)
        self.widest = widest_layers(space, shape, self.slots, generator)
        # Where each parameter hangs: every path asks for all of them, and walking the modules anew costs a millisecond.
        self._places = [
            (f"{path}.{name}", module) for path, module in self.widest.named_modules() for name in module._parameters
        ]

    def forward(self, dense: Tensor, sparse: Tensor, architecture: Architecture) -> Tensor:
        """Dense [B, I], sparse [B, F, D] → logit [B]; ordinary autograd reaches the supernet's parameters.

        Raises ValueError when the architecture is not in this supernet's space.
        """
        return self._subnet(architecture, _SlicedWeights(self.parameters_by_name(), leaves=False))(dense, sparse)

    def path(self, architecture: Architecture) -> Path:
        """The sub-network on leaf slices: what a training step runs, clips, reduces and updates.

        Raises ValueError when the architecture is not in this supernet's space.
        """
        weights = _SlicedWeights(self.parameters_by_name(), leaves=True)
        network = self._subnet(architecture, weights)
        return Path(network, tuple(weights.slices))

    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """The parameters, by their names in any sub-network."""
        found = ((path, module._parameters[path.rpartition(".")[2]]) for path, module in self._places)
        return {path: parameter for path, parameter in found if parameter is not None}

    def _subnet(self, architecture: Architecture, weights: "_SlicedWeights") -> Subnet:
        self.space.check_path(architecture)
        network = Subnet(architecture, self.shape, weights=weights, slots=self.slots, integers=self.integers)
        return network.train(self.training)


def extract(supernet: Supernet, architecture: Architecture) -> Subnet:
    """The architecture as a module of its own: the same function, to rounding, holding only its own weights."""
    subnet = Subnet(architecture, supernet.shape, integers=copy.deepcopy(supernet.integers))
    own = dict(subnet.named_parameters())
    gathered: dict[str, list[Tensor]] = {}
    for part in supernet.path(architecture).slices:
        gathered.setdefault(part.name, []).append(part.leaf.detach())
    assert gathered.keys() == own.keys()
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.data = torch.cat(gathered[name], dim=-1)
    return subnet


def common_slices(paths: Sequence[Path], parameters: Mapping[str, Tensor]) -> tuple[Slice, ...]:
    """Disjoint rectangles that hold all slices of several paths, in a fixed order; one path's are its own.

    Slices that overlap are replaced by the rectangle around them, which says where the slices lie in it: elsewhere its
    gradient is zero, and an optimizer moves nothing.
    """
    if len(paths) == 1:
        return paths[0].slices
    found: dict[str, list[tuple[Rectangle, list[Rectangle]]]] = {}  # rectangles, and the slices in each
    inputs: dict[str, int] = {}  # of the path that gives a layer the most
    for part in (part for path in paths for part in path.slices):
        inputs[part.name] = max(part.inputs, inputs.get(part.name, 0))
        rectangles, grown, inside = found.setdefault(part.name, []), part.index, [part.index]
        while overlapping := [other for other in rectangles if _overlap(grown, other[0])]:
            for other in overlapping:
                rectangles.remove(other)
                grown, inside = _around(grown, other[0]), other[1] + inside
        rectangles.append((grown, inside))
    return tuple(
        Slice(
            name,
            index,
            parameters[name].detach()[index].requires_grad_(),
            () if index in inside else tuple(_within(part, index) for part in inside),
            inputs[name],
        )
        for name, rectangles in found.items()
        for index, inside in rectangles
    )


def sum_gradients(paths: Sequence[Path], common: Sequence[Slice]) -> None:
    """Add the gradients of the paths' slices up in those of the common ones, and drop them."""
    by_name: dict[str, list[Slice]] = {}
    for part in common:
        part.leaf.grad = torch.zeros_like(part.leaf)
        by_name.setdefault(part.name, []).append(part)
    for part in (part for path in paths for part in path.slices):
        (around,) = (other for other in by_name[part.name] if _overlap(part.index, other.index))
        assert around.leaf.grad is not None
        if part.leaf.grad is not None:
            around.leaf.grad[_within(part.index, around.index)] += part.leaf.grad
            part.leaf.grad = None


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _around(one: Rectangle, other: Rectangle) -> Rectangle:
    pairs = zip(one, other, strict=True)
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in pairs)


def _within(inner: Rectangle, outer: Rectangle) -> Rectangle:
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))


class _SlicedWeights:
    """Layers on rectangles of the supernet's parameters."""

    def __init__(self, parameters: dict[str, nn.Parameter], leaves: bool) -> None:
        self.parameters, self.leaves = parameters, leaves
        self.slices: list[Slice] = []

    def linear(
        self,
        name: str,
        columns: Sequence[Columns],
        outputs: int,
        bias: bool = False,
        precision: Precision | None = FLOAT,
    ) -> Layer:
        rows, inputs = slice(0, outputs), sum(stop - start for start, stop in columns)
        weights = [self._slice(f"{name}.weight", (rows, slice(start, stop)), inputs) for start, stop in columns]
        shift = self._slice(f"{name}.bias", (rows,)) if bias else None
        if precision is FLOAT:
            return SlicedLinear(weights, shift)
        clip = self._slice(f"{name}.{INPUT_RANGE}", (range_entry(precision),))
        return SlicedLowBitLinear(weights, shift, clip, precision)

    def norm(self, name: str, width: int, residual: bool = False) -> SlicedNorm:
        entries = (slice(0, width),)
        return SlicedNorm(self._slice(f"{name}.weight", entries), self._slice(f"{name}.bias", entries))

    def _slice(self, name: str, index: Rectangle, inputs: int = 0) -> Tensor:
        parameter = self.parameters[name]
        assert all(part.stop <= size for part, size in zip(index, parameter.shape, strict=True)), (name, index)
        if not self.leaves:
            return parameter[index]
        leaf = parameter.detach()[index].requires_grad_()
        self.slices.append(Slice(name, index, leaf, inputs=inputs))
        return leaf
