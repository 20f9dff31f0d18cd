"""Descriptions of layers: their counts against built torch modules, and which descriptions can be built."""

import dataclasses
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from modules.operators import ComputedProduct, LayerNorm, Matrix, Read, Step, check_steps

RANGES = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), min_size=1, max_size=4).map(
    lambda found: tuple((start, start + width) for start, width in found)
)
MATRICES = st.builds(Matrix, RANGES, st.integers(1, 9), st.integers(1, 5), st.booleans())
READS = (Read("dense", 0), Read("sparse", 0), Read("dense", 1, "left"))


def flops(function, *operands) -> int:
    """What torch counts, without computing: two a multiply-accumulate."""
    with FlopCounterMode(display=False) as counter:
        function(*operands)
    return counter.get_total_flops()


@settings(max_examples=25)
@given(MATRICES)
def test_a_matrix_multiplies_as_a_linear_layer_does(matrix):
    """Its multiply-accumulates are half of torch's FLOPs for V vectors through a layer on the joined inputs."""
    joined = torch.cat([torch.empty(matrix.vectors, stop - start, device="meta") for start, stop in matrix.columns], 1)
    layer = nn.Linear(joined.shape[1], matrix.outputs, bias=False, device="meta")
    assert flops(layer, joined) == 2 * matrix.multiply_accumulates
    assert layer.in_features == matrix.inputs


@settings(max_examples=25)
@given(MATRICES, st.integers(0, 9), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_a_step_counts_its_matrix_and_the_products_of_computed_numbers(matrix, products, vectors, rows, columns):
    """Each product of two computed matrices is counted as torch counts it, each elementwise product once."""
    left, right = torch.empty(vectors, rows, device="meta"), torch.empty(rows, columns, device="meta")
    product = ComputedProduct(vectors, rows, columns, 1, flops(torch.mm, left, right) // 2)
    computed = Step("a", (), None, products=products, computed=(product, product))
    assert computed.multiply_accumulates == products + 2 * vectors * rows * columns
    both = dataclasses.replace(computed, matrix=matrix)
    assert both.multiply_accumulates == computed.multiply_accumulates + matrix.multiply_accumulates


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("residual", [None, False, True], ids=["no norm", "norm", "residual norm"])
@pytest.mark.parametrize("bias", [None, False, True], ids=["no matrix", "no bias", "bias"])
def test_parameters_are_those_of_the_layers_that_are_there(bias, residual, layer_norm):
    """Networks that are built without norms have biases instead, and keep only the norms of residual sums."""
    matrix = None if bias is None else Matrix(((0, 3), (7, 9)), 4, vectors=6, bias=bias)
    step = Step("a", (), matrix, None if residual is None else LayerNorm("norm", 4, 6, residual))
    has_bias = (bias, layer_norm) in {(False, False), (True, True), (True, False)}
    has_norm = (residual, layer_norm) in {(False, True), (True, True), (True, False)}
    layers: list[nn.Module] = [nn.Linear(5, 4, bias=has_bias)] if matrix else []
    layers += [nn.LayerNorm(4)] if has_norm else []
    assert step.has_bias(layer_norm) == has_bias
    assert step.has_norm(layer_norm) == has_norm
    assert step.parameters(layer_norm) == sum(p.numel() for layer in layers for p in layer.parameters())


@st.composite
def descriptions(draw):
    """Steps of an operator that can be built, each after some earlier steps and outputs, and what it reads."""
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 5))):
        earlier = [step.name for step in steps]
        waits_for = draw(st.lists(st.sampled_from([*READS, *earlier]), unique=True))
        norm = LayerNorm(f"norm_{number}", 3) if draw(st.booleans()) else None
        steps.append(Step(f"step_{number}", tuple(waits_for), draw(st.none() | MATRICES), norm))
    reads = {source for step in steps for source in step.waits_for if isinstance(source, Read)}
    return steps, reads


def is_refused(steps, reads) -> bool:
    """Whether the check raises its error, which must name the place."""
    try:
        check_steps("here", iter(steps), iter(reads))
    except ValueError as error:
        assert str(error).startswith("here")
        return True
    return False


@settings(max_examples=50)
@given(descriptions(), st.randoms(use_true_random=False))
def test_steps_stand_in_an_order_in_which_they_can_be_computed(description, random):
    """Of all orders exactly those are accepted in which each step comes after the steps that it waits for."""
    steps, reads = description
    assert not is_refused(steps, reads)
    order = random.sample(steps, len(steps))
    place = {step.name: index for index, step in enumerate(order)}
    waits = [(place[before], place[step.name]) for step in order for before in step.waits_for if before in place]
    assert is_refused(order, reads) == any(before > after for before, after in waits)


@settings(max_examples=50)
@given(descriptions())
@pytest.mark.slow
def test_what_is_read_is_what_is_waited_for(description):
    """An output too many or too few in `reads` is refused, whichever it is."""
    steps, reads = description
    for read in READS:
        assert is_refused(steps, reads ^ {read})


@settings(max_examples=50)
@given(descriptions())
def test_names_of_layers_differ(description):
    """A step or a norm that is called like any other layer is refused."""
    steps, reads = description
    for (first, one), (second, other) in itertools.permutations(enumerate(steps), 2):
        renamed = dataclasses.replace(one, name=other.name)
        assert is_refused([*steps[:first], renamed, *steps[first + 1 :]], reads)
        normed = dataclasses.replace(other, norm=LayerNorm(one.name, 3))
        assert is_refused([*steps[:second], normed, *steps[second + 1 :]], reads)


def test_a_norm_is_not_waited_for():
    """A step waits for steps: neither for the norm of one, nor for itself."""
    first = Step("a", (READS[0],), norm=LayerNorm("norm", 3))
    assert not is_refused([first, Step("b", ("a",))], READS[:1])
    assert is_refused([first, Step("b", ("norm",))], READS[:1])
    assert is_refused([first, Step("b", ("b",))], READS[:1])


@pytest.mark.parametrize("values", [{"columns": ()}, {"columns": ((4, 4),)}, {"outputs": 0}, {"vectors": 0}], ids=str)
def test_an_empty_matrix_is_refused(values):
    """A matrix has columns, rows and vectors."""
    matrix = Matrix(((0, 3),), 2)
    assert not is_refused([Step("a", (), matrix)], ())
    assert is_refused([Step("a", (), dataclasses.replace(matrix, **values))], ())
