"""Exact multiply-accumulates and parameters of an architecture, without building it.

Embedding tables are not counted.
"""

from typing import Literal

from modules.operators import InputShape
from modules.space.architecture import Architecture
from modules.space.plan import Part, plan

Rule = Literal["built", "reference"]
"""`built`: what this project's networks compute (live parts, every projection). `reference`: what the authors' code
counts (a projection left out where the widths already agree; gating over the padded width; no elementwise products)."""


def multiply_accumulates(architecture: Architecture, shape: InputShape, rule: Rule = "built") -> int:
    """Multiply-accumulates per row (the field writes them as "FLOPs"): matrices and products of computed operands.

    Raises ValueError by the rule "reference" for an operator that the authors' code does not have.
    """
    parts = plan(architecture, shape)
    if rule == "built":
        return sum(part.multiply_accumulates for part in parts)
    return sum(map(_reference, parts))


def parameter_count(architecture: Architecture, shape: InputShape, layer_norm: bool = True) -> int:
    """Parameters of the standalone network, embedding tables not counted."""
    return sum(part.parameters(layer_norm) for part in plan(architecture, shape))


def _reference(part: Part) -> int:
    """The authors' networks as their counter (fvcore) sees them. Traced graphs hold no dead parts either."""
    count = part.operator.nasrec_multiply_accumulates(part.block, part.inputs)
    if count is None:
        raise ValueError(f"{part.path}: the authors' code has no operator {part.operator.name!r}; count as built")
    return count


def elementwise_operations(architecture: Architecture, shape: InputShape) -> int:
    """Elementwise products, activations, sums and function evaluations per sample: what moves memory in training.

    >>> from modules.space.handmade import handmade
    >>> shape = InputShape(13, 26, 16)
    >>> [elementwise_operations(handmade(name, shape), shape) for name in ("logistic_regression", "autoint_plus")]
    [0, 21032]
    """
    steps = (step for part in plan(architecture, shape) for step in part.steps)
    return sum(step.products + step.elementwise_operations + step.function_evaluations for step in steps)
