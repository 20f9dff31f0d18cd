"""Architecture files of the authors' code (facebookresearch/NasRec, nasrec/configs/): how its users come over."""

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


def from_nasrec_json(data: Any) -> Architecture:
    """Read an architecture file of the authors' code.

    Raises ValueError for another configuration than `autoctr` (Small) or `xlarge` (Full) or a missing key.
    """
    config = NASREC_CONFIGS.get(data.get("config"))
    if config is None:
        raise ValueError(f"config: {data.get('config')!r}; NasRec files are read for {sorted(NASREC_CONFIGS)}")
    try:
        pairs = zip(data["micro"], data["macro"], strict=True)
        return Architecture(tuple(_block(micro, macro, config) for micro, macro in pairs))
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"not a NasRec architecture file: {type(error).__name__} {error}") from error


def _block(micro: dict[str, Any], macro: dict[str, Any], config: NasrecConfig) -> Block:
    nodes = dict(enumerate(config.operators))  # a negative id is none, and not one from the end
    operators = [nodes[index] for index in micro["active_nodes"]]
    (left,), (right,) = macro["dense_left_idx"], macro["dense_right_idx"]
    return Block(
        dense_operators=tuple(operator for operator in operators if operator.branch == "dense"),
        sparse_operators=tuple(operator for operator in operators if operator.branch == "sparse"),
        dense_width=int(micro["dense_in_dims"]),
        sparse_width=int(micro["sparse_in_dims"]),
        dense_inputs=tuple(sorted(macro["dense_idx"])),
        sparse_inputs=tuple(sorted(macro["sparse_idx"])),
        left=left,
        right=right,
        dense_to_sparse=config.space.dense_to_sparse if micro["dense_sparse_interact"] else None,
        sparse_to_dense=config.space.sparse_to_dense if micro["deep_fm"] else None,
    )
