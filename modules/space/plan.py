"""A network as a list of its live operators, each in its place.

Building a network, counting it and the chip's workload are loops over this list.

d dense width, n sparse width (vectors), D embedding width. Nothing is built here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from modules.operators import (
    FLOAT,
    FieldProjections,
    Head,
    Inputs,
    InputShape,
    Operator,
    Precision,
    Slot,
    Stem,
    StemShape,
    Step,
    check_steps,
)
from modules.space.architecture import Architecture, Block
from modules.space.liveness import live, stem_is_live

STEM_BLOCK = Block((), (), 1, 1, (), (), 0, 0, None, None)
"""What stands for the stem's choices, which are its options."""


@dataclass(frozen=True)
class Part:
    """One live operator, merger or the head, in its place."""

    path: str
    """Path of its module in a Subnet, for example `blocks.0.dense.fc`; else `projections`, `stem` or `head`."""
    operator: Operator
    """What stands there."""
    number: int
    """Number of its block, from 1; 0 for the projections and the stem; the head's is one more than the last block's."""
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
        """Weights, biases, the norms' scales and shifts (without norms there are biases in their place), and a clip for
        each matrix that has bits."""
        clips = sum(step.matrix is not None for step in self.steps) if self.precision is not FLOAT else 0
        return sum(step.parameters(layer_norm) for step in self.steps) + clips

    @property
    def precision(self) -> Precision | None:
        """The bits of its matrices."""
        return self.block.precision.of(self.operator.branch)


@dataclass(frozen=True)
class Slots:
    """How wide the outputs of a network can be: the columns of the matrices that read them."""

    dense: tuple[int, ...]
    """Numbers of each dense output, the stem's first."""
    sparse: tuple[int, ...]
    """Vectors that the operators of each sparse output make, the stem's first."""
    merged: tuple[int, ...]
    """Vectors that the merger adds in front of them; 0 for the stem."""
    integers: int
    """Numbers at the front of dense output 0 that are the integers; the stem's vectors, flattened, follow them."""
    head: Head
    """What the head may read: its matrix has the slots of these outputs only."""

    @classmethod
    def of(cls, architecture: Architecture, shape: InputShape) -> "Slots":
        """An architecture's own."""
        stem = architecture.stem
        behind = stem.behind(shape)
        dense, sparse, merged = [stem.dense_width(shape)], [behind.vectors], [0]
        for number, block in enumerate(architecture.blocks, start=1):
            dense.append(_width(number, block, block.dense_operators, behind))
            sparse.append(_width(number, block, block.sparse_operators, behind))
            merged.append(block.dense_to_sparse.width(block, behind) if block.dense_to_sparse else 0)
        integers = 0 if stem.vectors else shape.integers
        return cls(tuple(dense), tuple(sparse), tuple(merged), integers, architecture.logit)

    def inputs(self, number: int, shape: StemShape, slots: "Slots | None" = None) -> Inputs:
        """What block `number` (one more than the last: the head) of the network with these widths may read.

        `slots` are those of the widest network; without them the network has its own.
        """
        slots = slots or self
        dense, sparse = tuple(_dense_slots(self, slots)), tuple(_sparse_slots(self, slots))
        if number == len(self.dense):
            return Inputs(shape, _only(dense, slots.head.dense), _only(sparse, slots.head.sparse))
        return Inputs(shape, dense[:number], sparse[:number], self.dense[number], self.sparse[number])


def plan(architecture: Architecture, shape: InputShape, slots: Slots | None = None) -> tuple[Part, ...]:
    """Every live operator, merger and the head, in the order of computing.

    `slots` are those of the widest network whose matrices the sub-network uses; without them it has its own. Raises
    ValueError for a description that cannot be built, but not with `slots`: it was checked with the widest network.

    >>> from modules.operators import EmbeddedFullyConnected, FullyConnected
    >>> block = Block((FullyConnected(),), (EmbeddedFullyConnected(),), 16, 16, (0,), (0,), 0, 0, None, None)
    >>> [part.path for part in plan(Architecture((block, block)), InputShape(13, 26, 16))]
    ['blocks.1.dense.fc', 'blocks.1.sparse.efc', 'head']
    """
    own, behind = Slots.of(architecture, shape), architecture.stem.behind(shape)
    parts = []
    if set(shape.widths) != {shape.embedding_width}:
        parts.append(projections_part(shape))
    if architecture.stem.vectors and stem_is_live(architecture):
        parts.append(stem_part(architecture.stem, shape))
    for number, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
        inputs = own.inputs(number, behind, slots)
        parts += [block_part(operator, number, block, inputs) for operator in alive.operators(block)]
    last = len(architecture.blocks) + 1
    parts.append(Part("head", architecture.logit, last, architecture.head_block, own.inputs(last, behind, slots)))
    for part in parts if slots is None else ():  # a sub-network repeats what its standalone network passes
        check_steps(part.path, part.steps, part.operator.reads(part.block))
    return tuple(parts)


def projections_part(shape: InputShape) -> Part:
    """The projections of the tables that are narrower than D, in their place: before everything else."""
    given = Inputs(StemShape(shape.integers, shape.fields, shape.embedding_width), (), ())
    return Part("projections", FieldProjections(shape.widths), 0, STEM_BLOCK, given)


def stem_part(stem: Stem, shape: InputShape) -> Part:
    """The stem in its place."""
    return Part("stem", stem, 0, STEM_BLOCK, Inputs(stem.behind(shape), (), ()))


def block_part(operator: Operator, number: int, block: Block, inputs: Inputs) -> Part:
    """An operator or merger of block `number` in its place."""
    name = f".{operator.name}" if operator.branch in ("dense", "sparse") else ""
    return Part(f"blocks.{number - 1}.{operator.branch}{name}", operator, number, block, inputs)


def output_widths(architecture: Architecture, shape: InputShape) -> tuple[list[int], list[int]]:
    """Widths of the dense outputs and vectors of the sparse outputs, stem first (live mergers' vectors included)."""
    own = Slots.of(architecture, shape)
    merged = [0, *(alive.dense_to_sparse for alive in live(architecture))]
    return list(own.dense), [n + m * alive for n, m, alive in zip(own.sparse, own.merged, merged, strict=True)]


def _width(number: int, block: Block, operators: tuple[Operator, ...], shape: StemShape) -> int:
    widths = {operator.width(block, shape) for operator in operators}
    if len(widths) > 1:
        names = [operator.name for operator in operators]
        raise ValueError(f"block {number}: {names} make outputs of widths {sorted(widths)} and cannot be summed")
    return widths.pop() if widths else 0


def _dense_slots(own: Slots, slots: Slots) -> Iterator[Slot]:
    """Where the stem is one of several, its vectors do not use the columns of its integers."""
    start = 0
    for output, size in enumerate(slots.dense):
        width = own.dense[output] if output < len(own.dense) else 0  # a network may have fewer blocks than the widest
        first = slots.integers - own.integers if output == 0 else 0
        yield Slot(start, size, (first, first + width))
        start += size


def _sparse_slots(own: Slots, slots: Slots) -> Iterator[Slot]:
    """The merger's vectors stand first, so that both kinds keep their columns whatever the other's number."""
    start = 0
    for output, (size, most) in enumerate(zip(slots.sparse, slots.merged, strict=True)):
        width, merged = (own.sparse[output], own.merged[output]) if output < len(own.sparse) else (0, 0)
        yield Slot(start, size + most, (most - merged, most + width))
        start += size + most


def _only(slots: tuple[Slot, ...], read: tuple[int, ...]) -> tuple[Slot, ...]:
    """The same outputs in a matrix that has the slots of those only that may be read."""
    found, start = [], 0
    for output, slot in enumerate(slots):
        size = slot.size if output in read else 0
        found.append(Slot(start, size, slot.active))
        start += size
    return tuple(found)
