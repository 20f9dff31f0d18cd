"""One described layer as a stage of the chip."""

from collections.abc import Iterable

from modules.operators import Step
from pim_codesign.mapping.workload import NORM_OPERATIONS, Stage


def stage_of(step: Step, path: str, operator: str, depends: Iterable[int], layer_norm: bool = True) -> Stage:
    """The stage of a step: its matrix, and the digital work of biases and norms beside what the step says itself.

    `layer_norm`: whether the network was built with norms (else with biases in the place of those that are left out).
    """
    operations, matrix = step.elementwise_operations, step.matrix
    if matrix is not None and step.has_bias(layer_norm):
        operations += matrix.vectors * matrix.outputs
    if step.norm is not None and step.has_norm(layer_norm):
        operations += NORM_OPERATIONS * step.norm.vectors * step.norm.width
    return Stage(
        name=path,
        operator=operator if matrix is not None else "",
        depends=tuple(sorted(set(depends))),
        vectors=matrix.vectors if matrix is not None else 0,
        inputs=matrix.inputs if matrix is not None else 0,
        outputs=matrix.outputs if matrix is not None else 0,
        products=step.products,
        computed=step.computed,
        vector_operations=operations,
        lookups=step.function_evaluations,
    )
