"""A network as a list of its live operators, each in its place.

Building a network, counting it and the chip's workload are loops over this list.

d dense width, n sparse width (vectors), D embedding width. Nothing is built here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from modules.operators import Inputs, InputShape, Operator, Slot, Step, check_steps
from modules.space.architecture import Architecture, Block
from modules.space.liveness import live


@dataclass(frozen=True)
class Part:
    """One live operator, merger or the head, in its place."""

    path: str
    """Path of its module in a Subnet, for example `blocks.0.dense.fc`; the head's is `head`."""
    operator: Operator
    """What stands there."""
    number: int
    """Number of its block, from 1; the head's is one more than the last block's."""
    block: Block
    """The block's choices."""
    inputs: Inputs
    """What it may read."""

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Its layers in the order of computing."""
        return self.operator.steps(self.block, self.inputs)

    def layer_path(self, layer: str) -> str:
        """Path of one of its layers in a Subnet.

        Parameters are called by it: `blocks.0.dense.fc.project` has `.weight`.
        """
        return f"{self.path}.{layer}" if layer else self.path

    @property
    def multiply_accumulates(self) -> int:
        """Those of its matrices and those between computed operands, per row."""
        return sum(step.multiply_accumulates for step in self.steps)

    def parameters(self, layer_norm: bool = True) -> int:
        """Weights, biases, and the norms' scales and shifts; without norms there are biases in their place."""
        return sum(step.parameters(layer_norm) for step in self.steps)


@dataclass(frozen=True)
class Slots:
    """How wide the outputs of a network can be: the columns of the matrices that read them."""

    dense: tuple[int, ...]
    """Numbers of each dense output, the stem's first."""
    sparse: tuple[int, ...]
    """Vectors that the operators of each sparse output make, the stem's first."""
    merged: tuple[int, ...]
    """Vectors that the merger adds in front of them; 0 for the stem."""

    @classmethod
    def of(cls, architecture: Architecture, shape: InputShape) -> "Slots":
        """An architecture's own."""
        dense, sparse, merged = [shape.integers], [shape.fields], [0]
        for number, block in enumerate(architecture.blocks, start=1):
            dense.append(_width(number, block, block.dense_operators, shape))
            sparse.append(_width(number, block, block.sparse_operators, shape))
            merged.append(block.dense_to_sparse.width(block, shape) if block.dense_to_sparse else 0)
        return cls(tuple(dense), tuple(sparse), tuple(merged))


def plan(architecture: Architecture, shape: InputShape, slots: Slots | None = None) -> tuple[Part, ...]:
    """Every live operator, merger and the head, in the order of computing.

    `slots` are those of the widest network whose matrices the sub-network uses; without them it has its own. Raises
    ValueError for a description that cannot be built, but not with `slots`: it was checked with the widest network.

    >>> from modules.operators import EmbeddedFullyConnected, FullyConnected
    >>> block = Block((FullyConnected(),), (EmbeddedFullyConnected(),), 16, 16, (0,), (0,), 0, 0, None, None)
    >>> [part.path for part in plan(Architecture((block, block)), InputShape(13, 26, 16))]
    ['blocks.1.dense.fc', 'blocks.1.sparse.efc', 'head']
    """
    own = Slots.of(architecture, shape)
    slots = slots or own
    dense, sparse = tuple(_dense_slots(own, slots)), tuple(_sparse_slots(own, slots))
    parts = []
    for number, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
        inputs = Inputs(shape, dense, sparse, own.dense[number], own.sparse[number])
        for operator in alive.operators(block):
            name = f".{operator.name}" if operator.branch in ("dense", "sparse") else ""
            parts.append(Part(f"blocks.{number - 1}.{operator.branch}{name}", operator, number, block, inputs))
    head = architecture.head
    (operator,) = head.operators()
    parts.append(Part("head", operator, len(architecture.blocks) + 1, head, Inputs(shape, dense, sparse)))
    for part in parts if slots is own else ():
        check_steps(part.path, part.steps, part.operator.reads(part.block))
    return tuple(parts)


def output_widths(architecture: Architecture, shape: InputShape) -> tuple[list[int], list[int]]:
    """Widths of the dense outputs and vectors of the sparse outputs, stem first (live mergers' vectors included)."""
    own = Slots.of(architecture, shape)
    merged = [0, *(alive.dense_to_sparse for alive in live(architecture))]
    return list(own.dense), [n + m * alive for n, m, alive in zip(own.sparse, own.merged, merged, strict=True)]


def _width(number: int, block: Block, operators: tuple[Operator, ...], shape: InputShape) -> int:
    widths = {operator.width(block, shape) for operator in operators}
    if len(widths) > 1:
        names = [operator.name for operator in operators]
        raise ValueError(f"block {number}: {names} make outputs of widths {sorted(widths)} and cannot be summed")
    return widths.pop() if widths else 0


def _dense_slots(own: Slots, slots: Slots) -> Iterator[Slot]:
    start = 0
    for width, size in zip(own.dense, slots.dense, strict=True):
        yield Slot(start, size, (0, width))
        start += size


def _sparse_slots(own: Slots, slots: Slots) -> Iterator[Slot]:
    """The merger's vectors stand first, so that both kinds keep their columns whatever the other's number."""
    start = 0
    for width, merged, size, most in zip(own.sparse, own.merged, slots.sparse, slots.merged, strict=True):
        yield Slot(start, size + most, (most - merged, most + width))
        start += size + most
