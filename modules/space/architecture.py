"""An architecture is a value: frozen, hashable, with exact JSON both ways.

Outputs are numbered as in NASRec (arXiv:2207.07187): 0 is the stem, k the output of block k (blocks count from 1).
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol

from modules.operators import FLOAT, NO_STEM, Head, Operator, Precision, Stem
from modules.operators.operator import Branch


class OperatorNames(Protocol):
    """Where the operators of an architecture file are looked up: a `SearchSpace`."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def dense_operators(self) -> tuple[Operator, ...]:
        """Dense operators to choose from."""
        ...

    @property
    def sparse_operators(self) -> tuple[Operator, ...]:
        """Sparse operators to choose from."""
        ...

    @property
    def dense_to_sparse(self) -> Operator | None:
        """The merger from the dense to the sparse output."""
        ...

    @property
    def sparse_to_dense(self) -> Operator | None:
        """The merger from the sparse to the dense output."""
        ...


@dataclass(frozen=True)
class BlockPrecision:
    """The bits of a block's matrices; FLOAT (None) where they are floating-point numbers."""

    dense: Precision | None = FLOAT
    """Of its dense operators."""
    sparse: Precision | None = FLOAT
    """Of its sparse operators."""
    dense_to_sparse: Precision | None = FLOAT
    """Of the merger from the dense to the sparse output."""
    sparse_to_dense: Precision | None = FLOAT
    """Of the merger from the sparse to the dense output."""

    def of(self, branch: Branch) -> Precision | None:
        """That of the operators that make this."""
        found: Precision | None = getattr(self, branch) if branch in PRECISION_FIELDS else FLOAT
        return found

    def to_json(self) -> dict[str, list[int]]:
        """Weight and activation bits of those that have any.

        >>> BlockPrecision(sparse=Precision(4, 8)).to_json()
        {'sparse': [4, 8]}
        """
        each = ((name, getattr(self, name)) for name in PRECISION_FIELDS)
        return {name: [one.weight_bits, one.activation_bits] for name, one in each if one is not FLOAT}


PRECISION_FIELDS: tuple[Branch, ...] = ("dense", "sparse", "dense_to_sparse", "sparse_to_dense")
"""What of a block has bits of its own."""
ALL_FLOAT = BlockPrecision()


@dataclass(frozen=True)
class Block:
    """One choice block: its operators, widths, connections and mergers."""

    dense_operators: tuple[Operator, ...]
    """Dense operators, summed; a searched architecture has exactly one. None only where nothing reads the output."""
    sparse_operators: tuple[Operator, ...]
    """Sparse operators, summed; a searched architecture has exactly one. None only where nothing reads the output."""
    dense_width: int
    """Width d of the dense output."""
    sparse_width: int
    """Number n of vectors of the sparse output (before the merger's)."""
    dense_inputs: tuple[int, ...]
    """Dense outputs that are joined, ascending; read by operators with the role "input"."""
    sparse_inputs: tuple[int, ...]
    """Sparse outputs that are joined, ascending."""
    left: int
    """Dense output on the left of an operator with two operands."""
    right: int
    """Dense output on the right of an operator with two operands."""
    dense_to_sparse: Operator | None
    """The merger that adds vectors made from the dense output to the sparse one, or none."""
    sparse_to_dense: Operator | None
    """The merger that adds a term made from the sparse output to the dense one, or none."""
    precision: BlockPrecision = ALL_FLOAT
    """The bits of its operators' and mergers' matrices."""

    def operators(self) -> tuple[Operator, ...]:
        """All operators and mergers, in the order of computing."""
        mergers = (self.dense_to_sparse, self.sparse_to_dense)
        return (*self.dense_operators, *self.sparse_operators, *(merger for merger in mergers if merger is not None))


@dataclass(frozen=True)
class Architecture:
    """A sub-network: its blocks, its stem, and what its head reads.

    Raises ValueError when a connection is impossible whatever the space: an empty or unordered input list, an input
    from the same or a later block, an operator in the place of another kind, an output that is read and not made.
    """

    blocks: tuple[Block, ...]
    """The choice blocks, in their order."""
    stem: Stem = NO_STEM
    """What is made from the integers before the first block; by default nothing, they are dense output 0."""
    head: Head | None = None
    """What the logit is made from; None: both outputs of the last block."""

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError("Architecture.blocks is empty; an architecture has at least one block")
        for number, block in enumerate(self.blocks, start=1):
            _check_operators(number, "dense_operators", block.dense_operators, "dense")
            _check_operators(number, "sparse_operators", block.sparse_operators, "sparse")
            for branch in ("dense_to_sparse", "sparse_to_dense"):
                merger = getattr(block, branch)
                _check_operators(number, branch, () if merger is None else (merger,), branch)
            _check_inputs(number, "dense_inputs", block.dense_inputs)
            _check_inputs(number, "sparse_inputs", block.sparse_inputs)
            _check_inputs(number, "left", (block.left,))
            _check_inputs(number, "right", (block.right,))
            _check_precision(number, block)
            for name in ("dense_width", "sparse_width"):
                if getattr(block, name) < 1:
                    raise ValueError(f"block {number}, {name}: {getattr(block, name)}; a width is at least 1")
        for side in ("dense", "sparse"):
            outputs = getattr(self.logit, side)
            if any(not 0 <= output <= len(self.blocks) for output in outputs):
                raise ValueError(f"head, {side}: {list(outputs)}; it may read outputs 0 to {len(self.blocks)}")
        for number, block in enumerate((*self.blocks, self.head_block), start=1):
            _check_made(number, block, self.blocks)

    @property
    def is_float(self) -> bool:
        """Whether no operator has bits."""
        return all(block.precision == ALL_FLOAT for block in self.blocks)

    def in_float(self) -> "Architecture":
        """The same network with every matrix in floating point."""
        if self.is_float:
            return self
        blocks = tuple(dataclasses.replace(block, precision=ALL_FLOAT) for block in self.blocks)
        return dataclasses.replace(self, blocks=blocks)

    @property
    def default_head(self) -> Head:
        """What reads both outputs of the last block."""
        return Head((len(self.blocks),), (len(self.blocks),))

    @property
    def logit(self) -> Head:
        """The head, also where it is not written down."""
        return self.head or self.default_head

    @property
    def head_block(self) -> Block:
        """The head as one more block, whose only operator makes the logit."""
        return Block((self.logit,), (), 1, 1, self.logit.dense, self.logit.sparse, 0, 0, None, None)

    def to_json(self) -> dict[str, Any]:
        """The architecture as plain JSON values; `from_json` gives it back exactly.

        Operators are written by name, with the options that differ from their defaults; the stem, the head and a
        block's precision are left out where they are the default ones.
        """
        data: dict[str, Any] = {"blocks": [_block_to_json(block) for block in self.blocks]}
        if self.stem != NO_STEM:
            data["stem"] = self.stem.to_json()
        if self.head is not None:
            data["head"] = {"dense": self.head.dense, "sparse": self.head.sparse}
        return data

    @classmethod
    def from_json(cls, data: Any, space: OperatorNames) -> "Architecture":
        """Read what `to_json` wrote; operators are looked up in the space by their names.

        Raises ValueError naming the block and field that is wrong.
        """
        keys = set(data) if isinstance(data, dict) else set()
        if "blocks" not in keys or not keys <= {"blocks", "stem", "head"} or not isinstance(data["blocks"], list):
            raise ValueError(
                'an architecture is an object with the key "blocks", a list of block objects, '
                'and where they are not the default ones "stem" and "head"'
            )
        blocks = tuple(_block_from_json(number, block, space) for number, block in enumerate(data["blocks"], 1))
        stem = Stem.from_json(data["stem"]) if "stem" in data else NO_STEM
        return cls(blocks, stem, _head_from_json(data["head"]) if "head" in data else None)


def _check_operators(number: int, field: str, operators: tuple[Operator, ...], branch: str) -> None:
    for operator in operators:
        if not isinstance(operator, Operator) or operator.branch != branch:
            raise ValueError(f"block {number}, {field}: {operator!r} is not an operator that makes {branch!r}")
    if len({operator.name for operator in operators}) != len(operators):
        raise ValueError(f"block {number}, {field}: {[operator.name for operator in operators]}; list each once")


def _check_precision(number: int, block: Block) -> None:
    made = {operator.branch for operator in block.operators()}
    for branch in PRECISION_FIELDS:
        if block.precision.of(branch) is not FLOAT and branch not in made:
            raise ValueError(
                f"block {number}, precision, {branch}: {block.precision.of(branch)}, but the block has no "
                f"operator that makes {branch!r}"
            )


def _check_inputs(number: int, field: str, inputs: tuple[int, ...]) -> None:
    if not inputs:
        raise ValueError(f"block {number}, {field} is empty; at least one earlier output is read")
    if list(inputs) != sorted(set(inputs)):
        raise ValueError(f"block {number}, {field}: {list(inputs)}; list each output once, ascending")
    if inputs[0] < 0 or inputs[-1] >= number:
        raise ValueError(
            f"block {number}, {field}: {list(inputs)} has an input that is not an earlier output; "
            f"block {number} may read outputs 0 to {number - 1}"
        )


def _check_made(number: int, block: Block, blocks: tuple[Block, ...]) -> None:
    """Raise ValueError where an operator of the block reads an output that no operator makes."""
    for operator in block.operators():
        for read in operator.reads(block):
            made = number if read.output is None else read.output
            if made == 0:
                continue
            field = f"{read.side}_operators"
            if not getattr(blocks[made - 1], field):
                reader = "the head" if number > len(blocks) else f"block {number}"
                raise ValueError(f"block {made}, {field} is empty, but {reader} reads its {read.side} output")


def _block_to_json(block: Block) -> dict[str, Any]:
    data = {field.name: getattr(block, field.name) for field in dataclasses.fields(block)}
    for field in ("dense_operators", "sparse_operators"):
        data[field] = tuple(operator.to_json() for operator in data[field])
    for field in ("dense_to_sparse", "sparse_to_dense"):
        data[field] = data[field] is not None
    del data["precision"]
    if block.precision != ALL_FLOAT:
        data["precision"] = block.precision.to_json()
    return data


_JSON_TYPES: dict[str, Any] = {
    "dense_operators": (object,),
    "sparse_operators": (object,),
    "dense_width": int,
    "sparse_width": int,
    "dense_inputs": (int,),
    "sparse_inputs": (int,),
    "left": int,
    "right": int,
    "dense_to_sparse": bool,
    "sparse_to_dense": bool,
}
"""What a block's fields are in JSON; a tuple is a list of that type."""


def _block_from_json(number: int, data: Any, space: OperatorNames) -> Block:
    if not isinstance(data, dict):
        raise ValueError(f"block {number}: found {type(data).__name__}, expected an object")
    precision = _precision_from_json(number, data["precision"]) if "precision" in data else ALL_FLOAT
    data = {name: value for name, value in data.items() if name != "precision"}
    unknown, missing = set(data) - set(_JSON_TYPES), set(_JSON_TYPES) - set(data)
    if unknown or missing:
        raise ValueError(f"block {number}: unknown fields {sorted(unknown)}, missing fields {sorted(missing)}")
    values = {name: _value_from_json(f"block {number}, {name}", data[name], k) for name, k in _JSON_TYPES.items()}
    for field in ("dense_operators", "sparse_operators"):
        values[field] = _look_up(f"block {number}, {field}", values[field], getattr(space, field), space.name)
    for field in ("dense_to_sparse", "sparse_to_dense"):
        merger = getattr(space, field)
        if values[field] and merger is None:
            raise ValueError(f"block {number}, {field}: true, but {space.name} has no such merger")
        values[field] = merger if values[field] else None
    return Block(**values, precision=precision)


def _precision_from_json(number: int, data: Any) -> BlockPrecision:
    """Raises ValueError for what `BlockPrecision.to_json` does not write."""
    where = f"block {number}, precision"
    if not isinstance(data, dict) or not set(data) <= set(PRECISION_FIELDS):
        raise ValueError(f"{where}: {data!r}; expected an object with some of the keys {list(PRECISION_FIELDS)}")
    found = {}
    for name, bits in data.items():
        if not isinstance(bits, (list, tuple)) or len(bits) != 2:
            raise ValueError(f"{where}, {name}: {bits!r}; expected a list of the weight bits and the activation bits")
        try:
            found[name] = Precision(*bits)
        except ValueError as error:
            raise ValueError(f"{where}, {name}: {error}") from error
    return BlockPrecision(**found)


def _value_from_json(where: str, value: Any, kind: Any) -> Any:
    if isinstance(kind, tuple):
        (item,) = kind
        if not isinstance(value, (list, tuple)) or any(
            item is not object and type(entry) is not item for entry in value
        ):
            raise ValueError(f"{where}: {value!r}; expected a list of {item.__name__}")
        return tuple(value)
    if type(value) is not kind:
        raise ValueError(f"{where}: {value!r}; expected {kind.__name__}")
    return value


def _look_up(where: str, entries: tuple[Any, ...], operators: tuple[Operator, ...], space: str) -> tuple[Operator, ...]:
    known = {operator.name: operator for operator in operators}
    if not entries:
        raise ValueError(f"{where}: []; give at least one operator")
    found = []
    for entry in entries:
        values = dict(entry) if isinstance(entry, dict) else {"name": entry}
        name = values.pop("name", None)
        if not isinstance(name, str):
            raise ValueError(f'{where}: {entry!r}; expected a name, or an object with the key "name" and options')
        if name not in known:
            raise ValueError(f"{where}: unknown operator {name!r}; {space} has {list(known)}")
        try:
            found.append(known[name].with_options(values))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    return tuple(found)


def _head_from_json(data: Any) -> Head:
    if not isinstance(data, dict) or set(data) != {"dense", "sparse"}:
        raise ValueError(f'head: {data!r}; expected an object with the keys "dense" and "sparse"')
    dense, sparse = (_value_from_json(f"head, {side}", data[side], (int,)) for side in ("dense", "sparse"))
    return Head(dense, sparse)
