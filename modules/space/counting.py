"""Exact multiply-accumulates and parameters of an architecture, without building it.

Embedding tables are not counted.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal, get_args

from modules.operators import InputShape
from modules.space.architecture import Architecture
from modules.space.plan import Part, plan

Rule = Literal["built", "reference", "reference_fused_attention"]
"""`built`: what this project's networks compute (live parts, every projection).

`reference`: what the authors' program counts with their version of PyTorch (a projection left out where the widths
already agree; gating over the padded width; no elementwise products; attention's norms). `reference_fused_attention`:
what it counts with a PyTorch in which attention is one operation, whose two products its counter does not see.
"""


def multiply_accumulates(architecture: Architecture, shape: InputShape, rule: Rule = "built") -> int:
    """Multiply-accumulates per row (the field writes them as "FLOPs"): matrices and products of computed operands.

    Raises ValueError by the authors' rules for an operator that their code does not have, and for an unknown rule.
    """
    parts = plan(architecture, shape)
    match rule:
        case "built":
            return sum(part.multiply_accumulates for part in parts)
        case "reference":
            return sum(map(_reference, (*parts, *_added_in_place(parts))))
        case "reference_fused_attention":
            products = sum(part.operator.nasrec_attention_products(part.block, part.inputs) for part in parts)
            return multiply_accumulates(architecture, shape, "reference") - products
    raise ValueError(f"rule: {rule!r}; choose one of {list(get_args(Rule))}")


def parameter_count(architecture: Architecture, shape: InputShape, layer_norm: bool = True) -> int:
    """Parameters of the standalone network, embedding tables not counted."""
    return sum(part.parameters(layer_norm) for part in plan(architecture, shape))


def _reference(part: Part) -> int:
    """The authors' networks as their counter (fvcore) sees them. Traced graphs hold no dead parts either."""
    count = part.operator.nasrec_multiply_accumulates(part.block, part.inputs)
    if count is None:
        raise ValueError(f"{part.path}: the authors' code has no operator {part.operator.name!r}; count as built")
    return count


def _added_in_place(parts: tuple[Part, ...]) -> Iterator[Part]:
    """The sparse → dense mergers that the authors' networks compute although nothing reads the dense output.

    They add the merger's term in place. Where the dense → sparse merger needs no projection its vectors are a view of
    the same numbers, and so the term stands in them too.
    """
    present = {(part.number, part.operator.branch) for part in parts}
    for part in parts:
        merger = part.block.sparse_to_dense
        is_view = part.operator.branch == "dense_to_sparse" and not _reference(part)
        if is_view and merger is not None and (part.number, merger.branch) not in present:
            yield dataclasses.replace(part, operator=merger)


def elementwise_operations(architecture: Architecture, shape: InputShape) -> int:
    """Elementwise products, activations, sums and function evaluations per sample: what moves memory in training.

    >>> from modules.space.handmade import handmade
    >>> shape = InputShape(13, 26, 16)
    >>> [elementwise_operations(handmade(name, shape), shape) for name in ("logistic_regression", "autoint_plus")]
    [0, 21032]
    """
    steps = (step for part in plan(architecture, shape) for step in part.steps)
    return sum(step.products + step.elementwise_operations + step.function_evaluations for step in steps)
