"""Sub-networks of one supernet evaluated together: what several of them compute alike is computed once.

Children of one parent differ in a few choices, so the beginnings of their networks are the same. An output is known by
what determines it: the operator, the rectangle of the supernet's weights that it has, and the outputs that it reads.
The networks become one list of calculations in which each output stands once, and is forgotten after its last reader.

B batch, I integers, F fields, D embedding width, d and n the widths of a block, P width of what a head reads.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modules.operators import Read
from modules.operators.flatten import joined
from modules.space.architecture import Architecture
from modules.space.plan import Part, plan
from modules.supernet.subnet import Subnet
from modules.supernet.supernet import Supernet

INTEGERS, FIELDS = 0, 1
"""Numbers of the two outputs that every network begins with: standardized integers [B, I], vectors [B, D, F]."""


@dataclass(frozen=True)
class Calculation:
    """One output, computed once for all networks that read it."""

    number: int
    """Its output's."""
    inputs: tuple[int, ...]
    """Numbers of the outputs that it reads."""
    compute: Callable[[Sequence[Tensor]], Tensor]
    """The inputs' values → its own."""
    multiply_accumulates: int = 0
    """Per row."""
    is_features: bool = False
    """Whether it is what the next network's head reads."""


class Siblings:
    """Extracted networks of one supernet, in inference mode, that share calculations.

    A network's features are the same to the last bit as computed alone: each output comes from equal weights and equal
    inputs by the same kernels. Holds no activations between calls, so threads may call it at the same time.
    """

    def __init__(self, supernet: Supernet, architectures: Sequence[Architecture], networks: Sequence[Subnet]) -> None:
        """`networks[i]` is extracted from the supernet for `architectures[i]`."""
        self._first = networks[0]
        self._numbers: dict[Hashable, int] = {"integers": INTEGERS, "fields": FIELDS}
        self._calculations: list[Calculation] = []
        self.separate_multiply_accumulates = 0
        """What all the networks compute alone, per row; heads are not counted."""
        for architecture, network in zip(architectures, networks, strict=True):
            assert not network.training and network.projections is None
            _Tracing(self, plan(architecture, supernet.shape, supernet.slots), architecture, network).add()
        last = {number: index for index, one in enumerate(self._calculations) for number in one.inputs}
        self._forgotten: list[list[int]] = [[] for _ in self._calculations]
        for number, index in last.items():
            self._forgotten[index].append(number)

    @property
    def multiply_accumulates(self) -> int:
        """What the networks compute together, per row; heads are not counted."""
        return sum(one.multiply_accumulates for one in self._calculations)

    def features(self, dense: Tensor, sparse: Tensor) -> Iterator[Tensor]:
        """Dense [B, I], sparse [B, F, D] → what each network's head reads [B, P], one network after the other."""
        values = {INTEGERS: self._first.integers(dense), FIELDS: sparse.transpose(1, 2).contiguous()}
        for one, forgotten in zip(self._calculations, self._forgotten, strict=True):
            value = one.compute([values[number] for number in one.inputs])
            if one.is_features:
                yield value
            else:
                values[one.number] = value
            del value
            for number in forgotten:
                del values[number]

    def number(
        self,
        key: Hashable,
        inputs: tuple[int, ...],
        compute: Callable[[Sequence[Tensor]], Tensor],
        multiply_accumulates: int = 0,
    ) -> int:
        """The number of the output with this key and these inputs, which is computed from now on if it was not."""
        self.separate_multiply_accumulates += multiply_accumulates
        whole = (key, inputs)
        if whole not in self._numbers:
            self._numbers[whole] = len(self._numbers)
            self._calculations.append(Calculation(self._numbers[whole], inputs, compute, multiply_accumulates))
        return self._numbers[whole]

    def end(self, inputs: tuple[int, ...], compute: Callable[[Sequence[Tensor]], Tensor]) -> None:
        """One network's features."""
        self._calculations.append(Calculation(-1, inputs, compute, is_features=True))


class _Tracing:
    """One network's calculations, in the order in which `Subnet` computes."""

    def __init__(self, siblings: Siblings, parts: Sequence[Part], architecture: Architecture, network: Subnet) -> None:
        self.siblings, self.parts, self.architecture, self.network = siblings, parts, architecture, network
        self.outputs: dict[tuple[str, int | None], int] = {("dense", 0): INTEGERS, ("sparse", 0): FIELDS}

    def add(self) -> None:
        """All of them, the features last."""
        if self.network.stem is not None:
            self._add_stem()
        for number in range(1, len(self.architecture.blocks) + 1):
            self._add_block(number, [part for part in self.parts if part.number == number])
        dense, sparse = self.network.dense_features, self.network.sparse_features
        inputs = tuple(self.outputs["dense", output] for output in dense)
        inputs += tuple(self.outputs["sparse", output] for output in sparse)

        def join(values: Sequence[Tensor]) -> Tensor:
            own_dense, own_sparse = list(values[: len(dense)]), list(values[len(dense) :])
            indices = list(range(len(own_dense))), list(range(len(own_sparse)))
            return torch.cat(joined(own_dense, own_sparse, *indices), dim=1)  # [B, P]

        self.siblings.end(inputs, join)

    def _add_stem(self) -> None:
        (part,) = (part for part in self.parts if part.path == "stem")
        stem, size = self.network.stem, self.network.embedding_width
        assert stem is not None
        made = self._part(part, (INTEGERS,), lambda values: stem(values[0]))

        def join(values: Sequence[Tensor]) -> Tensor:
            fields, vectors = values
            made_vectors = vectors.view(vectors.shape[0], -1, size).transpose(1, 2)  # [B, D, V]
            return torch.cat([fields, made_vectors], dim=2)

        self.outputs["dense", 0] = made
        self.outputs["sparse", 0] = self.siblings.number("with stem's vectors", (FIELDS, made), join)

    def _add_block(self, number: int, parts: Sequence[Part]) -> None:
        """The operators' sums, then what the mergers make of them."""
        by_branch: dict[str, list[int]] = {}
        for part in parts:
            if part.operator.branch in ("dense", "sparse"):
                by_branch.setdefault(part.operator.branch, []).append(self._operator(part))
        own = {branch: self._sum(tuple(numbers)) for branch, numbers in by_branch.items()}
        for side, output in own.items():
            self.outputs[side, number] = output
        for part in parts:
            module = self.network.get_submodule(part.path)
            match part.operator.branch:
                case "dense_to_sparse":
                    vectors = self._part(part, (own["dense"],), _merger(module))
                    self.outputs["sparse", number] = self.siblings.number(
                        "joined", (vectors, own["sparse"]), lambda values: torch.cat(list(values), dim=2)
                    )
                case "sparse_to_dense":
                    term = self._part(part, (own["sparse"],), _merger(module))
                    self.outputs["dense", number] = self._sum((own["dense"], term))

    def _operator(self, part: Part) -> int:
        """An operator's output. It is given lists of all earlier outputs and needs those that it says it reads."""
        reads = tuple(dict.fromkeys((read.side, read.output) for read in part.operator.reads(part.block)))
        inputs = tuple(self.outputs[read] for read in reads)
        module, count = self.network.get_submodule(part.path), part.number
        return self._part(part, inputs, lambda values: _call(module, count, reads, values))

    def _sum(self, numbers: tuple[int, ...]) -> int:
        return numbers[0] if len(numbers) == 1 else self.siblings.number("added", numbers, _added)

    def _part(self, part: Part, inputs: tuple[int, ...], compute: Callable[[Sequence[Tensor]], Tensor]) -> int:
        """Its rectangle of weights follows from its path and its steps (their columns are the supernet's)."""
        roles = tuple(_role(read, self.outputs) for read in part.operator.reads(part.block))
        steps = tuple((step.name, step.matrix, step.norm, step.computed) for step in part.steps)
        width = part.operator.width(part.block, part.inputs.shape)
        key = (part.path, part.operator, part.precision, steps, width, roles)
        return self.siblings.number(key, inputs, compute, part.multiply_accumulates)


def _role(read: Read, outputs: dict[tuple[str, int | None], int]) -> tuple[str, str, int | None]:
    """What an operator reads an output as: which output that is, its number says."""
    return read.side, read.role, outputs.get((read.side, read.output))


def _call(module: nn.Module, count: int, reads: tuple[tuple[str, int | None], ...], values: Sequence[Tensor]) -> Tensor:
    """An operator's output from the outputs that it reads; the places of the others in its lists are empty."""
    empty = values[0].new_empty(0)
    lists = {"dense": [empty] * count, "sparse": [empty] * count}
    for (side, output), value in zip(reads, values, strict=True):
        assert output is not None
        lists[side][output] = value
    result: Tensor = module(lists["dense"], lists["sparse"])
    return result


def _merger(module: nn.Module) -> Callable[[Sequence[Tensor]], Tensor]:
    return lambda values: module(values[0])


def _added(values: Sequence[Tensor]) -> Tensor:
    result = values[0]
    for value in values[1:]:
        result = result + value
    return result
