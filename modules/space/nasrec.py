"""Architecture files of the authors' code (facebookresearch/NasRec, nasrec/configs/), read strictly and written.

They are how its users come over, and how what is found here can be trained there. docs/search_space.md has the format.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from modules.operators import (
    Attention,
    DotProduct,
    EmbeddedFullyConnected,
    FullyConnected,
    Operator,
    SigmoidGating,
    Sum,
)
from modules.space.architecture import Architecture, Block
from modules.space.search_space import NASREC_FULL, NASREC_SMALL, SearchSpace


@dataclass(frozen=True)
class NasrecConfig:
    """One configuration of the authors' code."""

    space: SearchSpace
    """The same space here."""
    operators: tuple[Operator, ...]
    """Our operators in the order of the configuration's node names: an operator's id is its place."""


NASREC_CONFIGS = {
    "autoctr": NasrecConfig(NASREC_SMALL, (FullyConnected(), DotProduct(), EmbeddedFullyConnected())),
    "xlarge": NasrecConfig(
        NASREC_FULL,
        (FullyConnected(), DotProduct(), SigmoidGating(), Sum(), Attention(), EmbeddedFullyConnected()),
    ),
}
"""The authors' configurations by their names."""

DOCUMENT = ("config", "num_blocks", "micro", "macro")
"""Keys that a file has."""
FURTHER = ("use_layernorm", "test_loss")
"""Keys that it may have beside them: they are checked, and say nothing of the architecture."""
MICRO = ("active_nodes", "dense_in_dims", "sparse_in_dims", "dense_sparse_interact", "deep_fm")
"""Keys of a block's entry in `micro`."""
MACRO = ("dense_idx", "sparse_idx", "dense_left_idx", "dense_right_idx")
"""Keys of a block's entry in `macro`."""


def from_nasrec_json(data: Any, searched: bool = False) -> Architecture:
    """Read an architecture file of the authors' code, given as its JSON values.

    With `searched` it must be one that a search may propose: as many blocks as its space has, one operator of each
    branch, at most four inputs. Else several operators, which are summed, and any inputs may be.

    Raises ValueError, naming block and field, what was found and what is allowed, for a key too few or too many, a
    value of another type (true and 1.0 are no whole numbers), one out of range, and fields that contradict each other.
    """
    _check_keys("the file", data, DOCUMENT, FURTHER)
    if not isinstance(data["config"], str) or data["config"] not in NASREC_CONFIGS:
        raise ValueError(f"config: found {_shown(data['config'])}, NasRec files are read for {sorted(NASREC_CONFIGS)}")
    config = NASREC_CONFIGS[data["config"]]
    _check_document(data, config.space if searched else None)
    pairs = zip(data["micro"], data["macro"], strict=True)
    blocks = (_block(number, micro, macro, config, searched) for number, (micro, macro) in enumerate(pairs, start=1))
    return Architecture(tuple(blocks))


def to_nasrec_json(architecture: Architecture, space: SearchSpace) -> dict[str, Any]:
    """An architecture of one of NASRec's spaces as the JSON values of the authors' file.

    `from_nasrec_json` gives it back (a default head that is written out comes back as None). What only training paths
    have, several operators of a branch and any number of inputs, can be written too. Raises ValueError for another
    space, and for an architecture that is not of the space.
    """
    name = next((name for name, config in NASREC_CONFIGS.items() if config.space == space), None)
    if name is None:
        spaces = [config.space.name for config in NASREC_CONFIGS.values()]
        raise ValueError(f"a NasRec file holds an architecture of one of {spaces}, and none of {space.name}")
    try:
        space.check_path(architecture)
    except ValueError as error:
        raise ValueError(f"no NasRec file of configuration {name!r} can hold this architecture: {error}") from error
    own = NASREC_CONFIGS[name].operators
    micro = [
        {
            "active_nodes": [own.index(operator) for operator in block.dense_operators + block.sparse_operators],
            "dense_in_dims": block.dense_width,
            "sparse_in_dims": block.sparse_width,
            "dense_sparse_interact": int(block.dense_to_sparse is not None),
            "deep_fm": int(block.sparse_to_dense is not None),
        }
        for block in architecture.blocks
    ]
    macro = [
        {
            "dense_idx": list(block.dense_inputs),
            "sparse_idx": list(block.sparse_inputs),
            "dense_left_idx": [block.left],
            "dense_right_idx": [block.right],
        }
        for block in architecture.blocks
    ]
    return {"micro": micro, "macro": macro, "num_blocks": len(micro), "use_layernorm": 1, "config": name}


def _check_document(data: dict[str, Any], space: SearchSpace | None) -> None:
    """Raise ValueError unless what stands beside the blocks is right, and agrees (with the space, if one is given)."""
    blocks = data["num_blocks"]
    if type(blocks) is not int or blocks < 1:
        raise ValueError(f"num_blocks: found {_shown(blocks)}, expected a whole number, at least 1")
    if space and blocks not in space.depths:
        raise ValueError(f"num_blocks: found {blocks}, {space.name} has {space.num_blocks}")
    for part in ("micro", "macro"):
        if not isinstance(data[part], list):
            raise ValueError(f"{part}: found {_shown(data[part])}, expected a list of {blocks} objects, one a block")
        if len(data[part]) != blocks:
            raise ValueError(f"{part}: found {len(data[part])} blocks, but num_blocks is {blocks}")
    if "use_layernorm" in data:
        _choice("use_layernorm", data["use_layernorm"], (0, 1))
    if type(data.get("test_loss", 0)) not in (int, float):
        raise ValueError(f"test_loss: found {_shown(data['test_loss'])}, expected a number")


def _block(number: int, micro: Any, macro: Any, config: NasrecConfig, searched: bool) -> Block:
    own, connections = f"block {number}, micro[{number - 1}]", f"block {number}, macro[{number - 1}]"
    _check_keys(own, micro, MICRO)
    _check_keys(connections, macro, MACRO)
    space = config.space
    operators = _operators(f"{own}.active_nodes", micro["active_nodes"], config, searched)
    dense, sparse, (left,), (right,) = (
        _outputs(f"{connections}.{key}", macro[key], number, most)
        for key, most in zip(MACRO, (*[space.max_inputs if searched else number] * 2, 1, 1), strict=True)
    )
    to_sparse, to_dense = (_choice(f"{own}.{key}", micro[key], (0, 1)) for key in ("dense_sparse_interact", "deep_fm"))
    return Block(
        dense_operators=tuple(operator for operator in operators if operator.branch == "dense"),
        sparse_operators=tuple(operator for operator in operators if operator.branch == "sparse"),
        dense_width=_choice(f"{own}.dense_in_dims", micro["dense_in_dims"], space.dense_widths),
        sparse_width=_choice(f"{own}.sparse_in_dims", micro["sparse_in_dims"], space.sparse_widths),
        dense_inputs=dense,
        sparse_inputs=sparse,
        left=left,
        right=right,
        dense_to_sparse=space.dense_to_sparse if to_sparse else None,
        sparse_to_dense=space.sparse_to_dense if to_dense else None,
    )


def _operators(where: str, ids: Any, config: NasrecConfig, searched: bool) -> list[Operator]:
    """The operators of these ids, in their order."""
    own = config.operators
    found = [own[index] for index in ids] if _are_different(ids, range(len(own))) else []
    counts = [sum(operator.branch == branch for operator in found) for branch in ("dense", "sparse")]
    if min(counts) < 1 or (searched and max(counts) > 1):
        number = "one" if searched else "one or several different"
        dense, sparse = (
            {index: operator.name for index, operator in enumerate(own) if operator.branch == branch}
            for branch in ("dense", "sparse")
        )
        raise ValueError(
            f"{where}: found {_shown(ids)}, expected a list of {number} of {dense} and {number} of {sparse}"
        )
    return found


def _outputs(where: str, outputs: Any, number: int, most: int) -> tuple[int, ...]:
    """The outputs that block `number` reads, ascending: different earlier ones, at least one and at most so many."""
    if not _are_different(outputs, range(number)) or not 1 <= len(outputs) <= most:
        most = min(most, number)
        expected = "one number" if most == 1 else f"1 to {most} different numbers"
        raise ValueError(f"{where}: found {_shown(outputs)}, expected a list of {expected} of {list(range(number))}")
    return tuple(sorted(outputs))


def _are_different(numbers: Any, allowed: Collection[int]) -> bool:
    """Whether this is a list of different whole numbers that are all allowed."""
    return (
        isinstance(numbers, list)
        and all(type(number) is int and number in allowed for number in numbers)
        and len(set(numbers)) == len(numbers)
    )


def _choice(where: str, value: Any, allowed: Collection[int]) -> int:
    if type(value) is not int or value not in allowed:
        raise ValueError(f"{where}: found {_shown(value)}, expected one of {list(allowed)}")
    return value


def _check_keys(where: str, value: Any, needed: tuple[str, ...], further: tuple[str, ...] = ()) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: found {_shown(value)}, expected an object with the keys {list(needed)}")
    missing = [key for key in needed if key not in value]
    unknown = [key for key in value if key not in needed + further]
    if missing or unknown:
        may = f", and may have {list(further)}" if further else ""
        raise ValueError(f"{where}: missing keys {missing}, unknown keys {unknown}; it has {list(needed)}{may}")


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."
