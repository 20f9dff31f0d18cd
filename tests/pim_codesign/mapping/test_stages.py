"""A stage against the step that it is made from: no product and no operation of the layer is lost."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from modules.operators import ComputedProduct, LayerNorm, Matrix, Step
from pim_codesign.mapping import Embeddings, Stage, Workload
from pim_codesign.mapping.stages import stage_of

SIZES = st.integers(1, 20)
MATRICES = st.builds(
    lambda inputs, outputs, vectors, bias: Matrix(((3, 3 + inputs),), outputs, vectors, bias),
    SIZES, SIZES, SIZES, st.booleans(),
)  # fmt: skip
PRODUCTS = st.builds(ComputedProduct, SIZES, SIZES, SIZES, SIZES, SIZES)
STEPS = st.builds(
    Step,
    st.just("a"),
    st.just(()),
    st.none() | MATRICES,
    st.none() | st.builds(LayerNorm, st.just("norm"), SIZES, SIZES, st.booleans()),
    st.integers(0, 20),
    st.lists(PRODUCTS, max_size=2).map(tuple),
    st.integers(0, 20),
    st.integers(0, 20),
)


def stage(step: Step, layer_norm: bool = True) -> Stage:
    """Its stage, which waits for nothing."""
    return stage_of(step, "path", "operator", (), layer_norm)


@given(STEPS, st.booleans())
def test_a_stage_multiplies_what_its_step_does(step: Step, layer_norm: bool) -> None:
    """The multiply-accumulates of a workload of this one stage are the step's."""
    workload = Workload((Stage("embeddings", "", ()), stage(step, layer_norm)), Embeddings(1, 1))
    assert workload.multiply_accumulates == step.multiply_accumulates


@given(STEPS)
def test_only_a_matrix_takes_an_operator(step: Step) -> None:
    """Bits and copies are of matrices: a stage of digital work has no operator and no size."""
    own, matrix = stage(step), step.matrix
    assert own.operator == ("operator" if matrix else "")
    assert (own.vectors, own.inputs, own.outputs) == (
        (matrix.vectors, matrix.inputs, matrix.outputs) if matrix else (0, 0, 0)
    )


@given(STEPS, MATRICES)
def test_a_bias_is_one_addition_a_number(step: Step, matrix: Matrix) -> None:
    """Beside the matrix without it, V · O more operations; without layer norms every matrix has one."""
    plain, biased = (dataclasses.replace(step, matrix=dataclasses.replace(matrix, bias=own)) for own in (False, True))
    for layer_norm, expected in ((True, matrix.vectors * matrix.outputs), (False, 0)):
        assert stage(biased, layer_norm).vector_operations - stage(plain, layer_norm).vector_operations == expected
    bare = stage(dataclasses.replace(step, matrix=None), layer_norm=False)
    more = stage(plain, layer_norm=False).vector_operations - bare.vector_operations
    assert more == matrix.vectors * matrix.outputs


@given(STEPS, SIZES, SIZES, st.booleans())
def test_a_norm_is_five_operations_a_number(step: Step, width: int, vectors: int, residual: bool) -> None:
    """Sum, square and sum, centre, scale, affine; where norms are left out only those of residual sums remain."""
    normed = dataclasses.replace(step, norm=LayerNorm("norm", width, vectors, residual))
    bare = dataclasses.replace(step, norm=None)
    for layer_norm in (True, False):
        more = stage(normed, layer_norm).vector_operations - stage(bare, layer_norm).vector_operations
        assert more == (5 * width * vectors if layer_norm or residual else 0)


@given(STEPS, st.lists(st.integers(0, 9)))
def test_what_else_the_step_says_is_kept(step: Step, depends: list[int]) -> None:
    """Its own operations, look-ups and products, under its path; each dependency stands once, in order."""
    own = stage_of(step, "path", "operator", iter(depends))
    assert own.name == "path"
    assert (own.products, own.computed, own.lookups) == (step.products, step.computed, step.function_evaluations)
    idle = stage(dataclasses.replace(step, elementwise_operations=0))
    assert own.vector_operations - idle.vector_operations == step.elementwise_operations
    assert set(own.depends) == set(depends)
    assert all(before < after for before, after in zip(own.depends, own.depends[1:], strict=False))
