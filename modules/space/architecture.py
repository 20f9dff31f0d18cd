"""An architecture is a value: frozen, hashable, with exact JSON both ways.

Outputs are numbered as in NASRec (arXiv:2207.07187): 0 is the stem, k the output of block k (blocks count from 1).
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

DENSE_OPERATORS = ("fc", "dot_product", "sigmoid_gating", "sum")
SPARSE_OPERATORS = ("efc", "attention")
BINARY_OPERATORS = ("sigmoid_gating", "sum")  # read `left` and `right` instead of `dense_inputs`
MERGER_VECTORS = 8
"""Sparse vectors that the dense-to-sparse merger adds to a block's sparse output (NasRec: DS_INTERACT_NUM_SPLITS)."""

# Operator ids of the authors' configuration files, in the order of the config's node names.
_NASREC_OPERATORS = {
    "autoctr": ("fc", "dot_product", "efc"),
    "xlarge": ("fc", "dot_product", "sigmoid_gating", "sum", "attention", "efc"),
}


@dataclass(frozen=True)
class InputShape:
    """What one row gives the network: I dense numbers and F embedding vectors of width D."""

    integers: int
    """Dense inputs I, at least 1 (a log without integer columns has one constant input)."""
    fields: int
    """Categorical fields F, at least 1."""
    embedding_width: int
    """Embedding width D, at least 1."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"InputShape.{field.name} is {getattr(self, field.name)}; it must be at least 1")

    @property
    def attention_heads(self) -> int:
        """The largest number of heads up to 8 that divides D (search_space.md).

        >>> InputShape(13, 26, 16).attention_heads, InputShape(13, 26, 10).attention_heads
        (8, 5)
        """
        return max(heads for heads in range(1, 9) if self.embedding_width % heads == 0)


@dataclass(frozen=True)
class Block:
    """One choice block: its operators, widths, connections and mergers."""

    dense_operators: tuple[str, ...]
    """Dense operators, summed; a searched architecture has exactly one."""
    sparse_operators: tuple[str, ...]
    """Sparse operators, summed; a searched architecture has exactly one."""
    dense_width: int
    """Width d of the dense output."""
    sparse_width: int
    """Number n of vectors of the sparse output (before the merger's 8)."""
    dense_inputs: tuple[int, ...]
    """Dense outputs read by fc and dot_product, ascending."""
    sparse_inputs: tuple[int, ...]
    """Sparse outputs read by dot_product, efc and attention, ascending."""
    left: int
    """Dense output on the left of sigmoid_gating and sum."""
    right: int
    """Dense output on the right of sigmoid_gating and sum."""
    dense_to_sparse: bool
    """Whether the dense output is also merged into the sparse one, as 8 more vectors."""
    sparse_to_dense: bool
    """Whether a factorization machine over the sparse output is added to the dense one."""


@dataclass(frozen=True)
class Architecture:
    """A sub-network: the tuple of its blocks.

    Raises ValueError when a connection is impossible whatever the space: an empty or unordered input list, an input
    from the same or a later block, an unknown operator.
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError("Architecture.blocks is empty; an architecture has at least one block")
        for number, block in enumerate(self.blocks, start=1):
            _check_operators(number, "dense_operators", block.dense_operators, DENSE_OPERATORS)
            _check_operators(number, "sparse_operators", block.sparse_operators, SPARSE_OPERATORS)
            _check_inputs(number, "dense_inputs", block.dense_inputs)
            _check_inputs(number, "sparse_inputs", block.sparse_inputs)
            _check_inputs(number, "left", (block.left,))
            _check_inputs(number, "right", (block.right,))
            for name in ("dense_width", "sparse_width"):
                if getattr(block, name) < 1:
                    raise ValueError(f"block {number}, {name}: {getattr(block, name)}; a width is at least 1")

    def to_json(self) -> dict[str, Any]:
        """The architecture as plain JSON values; `from_json` gives it back exactly."""
        return {"blocks": [dataclasses.asdict(block) for block in self.blocks]}

    @classmethod
    def from_json(cls, data: Any) -> "Architecture":
        """Read what `to_json` wrote. Raises ValueError naming the block and field that is wrong."""
        if not isinstance(data, dict) or set(data) != {"blocks"} or not isinstance(data["blocks"], list):
            raise ValueError('an architecture is an object with one key, "blocks": a list of block objects')
        return cls(tuple(_block_from_json(number, block) for number, block in enumerate(data["blocks"], start=1)))

    @classmethod
    def from_nasrec_json(cls, data: Any) -> "Architecture":
        """Read an architecture file of the authors' code (facebookresearch/NasRec, nasrec/configs/).

        Raises ValueError for another configuration than `autoctr` (Small) or `xlarge` (Full) or a missing key.
        """
        config = data.get("config")
        if config not in _NASREC_OPERATORS:
            raise ValueError(f"config: {config!r}; NasRec files are read for {sorted(_NASREC_OPERATORS)}")
        try:
            pairs = zip(data["micro"], data["macro"], strict=True)
            return cls(tuple(_block_from_nasrec(micro, macro, _NASREC_OPERATORS[config]) for micro, macro in pairs))
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"not a NasRec architecture file: {type(error).__name__} {error}") from error


def _check_operators(number: int, field: str, operators: tuple[str, ...], known: tuple[str, ...]) -> None:
    if not operators or len(set(operators)) != len(operators):
        raise ValueError(f"block {number}, {field}: {list(operators)}; give at least one operator, each once")
    for operator in operators:
        if operator not in known:
            raise ValueError(f"block {number}, {field}: unknown operator {operator!r}; known are {list(known)}")


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


def _block_from_json(number: int, data: Any) -> Block:
    if not isinstance(data, dict):
        raise ValueError(f"block {number}: found {type(data).__name__}, expected an object")
    fields = {field.name: field.type for field in dataclasses.fields(Block)}
    unknown, missing = set(data) - set(fields), set(fields) - set(data)
    if unknown or missing:
        raise ValueError(f"block {number}: unknown fields {sorted(unknown)}, missing fields {sorted(missing)}")
    values = {name: _value_from_json(f"block {number}, {name}", data[name], kind) for name, kind in fields.items()}
    return Block(**values)


def _value_from_json(where: str, value: Any, kind: Any) -> Any:
    item = {tuple[str, ...]: str, tuple[int, ...]: int}.get(kind)
    if item is not None:
        if not isinstance(value, (list, tuple)) or any(type(entry) is not item for entry in value):
            raise ValueError(f"{where}: {value!r}; expected a list of {item.__name__}")
        return tuple(value)
    if type(value) is not kind:
        raise ValueError(f"{where}: {value!r}; expected {kind.__name__}")
    return value


def _block_from_nasrec(micro: dict[str, Any], macro: dict[str, Any], names: tuple[str, ...]) -> Block:
    operators = [names[index] for index in micro["active_nodes"]]
    (left,), (right,) = macro["dense_left_idx"], macro["dense_right_idx"]
    return Block(
        dense_operators=tuple(name for name in operators if name in DENSE_OPERATORS),
        sparse_operators=tuple(name for name in operators if name in SPARSE_OPERATORS),
        dense_width=int(micro["dense_in_dims"]),
        sparse_width=int(micro["sparse_in_dims"]),
        dense_inputs=tuple(sorted(macro["dense_idx"])),
        sparse_inputs=tuple(sorted(macro["sparse_idx"])),
        left=left,
        right=right,
        dense_to_sparse=bool(micro["dense_sparse_interact"]),
        sparse_to_dense=bool(micro["deep_fm"]),
    )


def balanced_fields(dense_width: int) -> int:
    """Number k of vectors that the operator-balanced dot product projects its fields to: round(√(2d)).

    >>> balanced_fields(16), balanced_fields(1024)
    (6, 45)
    """
    return round(math.sqrt(2 * dense_width))
