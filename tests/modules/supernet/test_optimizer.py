"""The sliced optimizers are the dense ones, and Adam's rule for untouched weights is what it says."""

import numpy
import pytest
import torch
from torch import nn

from modules.space import NASREC_FULL, InputShape, SearchSpace, single_operator_any_connection
from modules.supernet import (
    Slice,
    SlicedAdagrad,
    SlicedAdam,
    SlicedOptimizer,
    SlicedSGD,
    Supernet,
    common_slices,
    extract,
    sum_gradients,
)

SHAPE = InputShape(3, 4, 4)
SPACE = SearchSpace(
    "tiny",
    NASREC_FULL.dense_operators,
    NASREC_FULL.sparse_operators,
    dense_widths=(4, 8, 16),
    sparse_widths=(2, 4),
    num_blocks=4,
)


@pytest.mark.parametrize("initial_square", [0.0, 0.1])
@pytest.mark.slow
def test_equals_dense_adagrad_over_100_steps(initial_square):
    """100 steps of other paths: weights equal torch.optim.Adagrad's on full tensors to 1e-12 in float64."""
    sliced, dense = (Supernet(SPACE, SHAPE, torch.Generator().manual_seed(0)).double() for _ in range(2))
    ours = SlicedAdagrad(sliced.parameters_by_name(), epsilon=1e-8, initial_square=initial_square)
    theirs = torch.optim.Adagrad(dense.parameters(), lr=0.02, eps=1e-8, initial_accumulator_value=initial_square)
    draws, generator = numpy.random.default_rng(0), torch.Generator().manual_seed(1)
    for _ in range(100):
        architecture = single_operator_any_connection(SPACE, draws)
        x, y = torch.rand(4, 3, generator=generator).double(), torch.rand(4, 4, 4, generator=generator).double()
        path = sliced.path(architecture)
        path.network(x, y).square().sum().backward()
        ours.step(path.slices, learning_rate=0.02)
        theirs.zero_grad()
        dense(x, y, architecture).square().sum().backward()
        for parameter in dense.parameters():  # torch skips a parameter without gradient; dense Adagrad sees zeros
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        theirs.step()
    for name, parameter in sliced.parameters_by_name().items():
        assert torch.allclose(parameter, dense.parameters_by_name()[name], rtol=1e-12, atol=1e-12), name


def test_sgd_is_the_dense_one():
    """20 steps of other paths: weights equal torch.optim.SGD's on full tensors to 1e-12 in float64."""
    sliced, dense = (Supernet(SPACE, SHAPE, torch.Generator().manual_seed(0)).double() for _ in range(2))
    theirs, ours = torch.optim.SGD(dense.parameters(), lr=0.01), SlicedSGD()
    draws, generator = numpy.random.default_rng(0), torch.Generator().manual_seed(1)
    for _ in range(20):
        architecture = single_operator_any_connection(SPACE, draws)
        x, y = torch.rand(4, 3, generator=generator).double(), torch.rand(4, 4, 4, generator=generator).double()
        path = sliced.path(architecture)
        path.network(x, y).sigmoid().sum().backward()
        ours.step(path.slices, learning_rate=0.01)
        theirs.zero_grad()
        dense(x, y, architecture).sigmoid().sum().backward()
        theirs.step()
    for name, parameter in sliced.parameters_by_name().items():
        assert torch.allclose(parameter, dense.parameters_by_name()[name], rtol=1e-12, atol=1e-12), name


def test_adam_is_torchs_on_the_steps_that_touch_a_weight():
    """Every weight ends where a torch.optim.Adam of its own does that sees only the gradients of its slices."""
    generator, draws = torch.Generator().manual_seed(0), numpy.random.default_rng(0)
    whole = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    alone = [[torch.nn.Parameter(whole[i, j].clone()) for j in range(5)] for i in range(3)]
    theirs = [[torch.optim.Adam([weight], lr=0.05, eps=1e-8) for weight in row] for row in alone]
    ours = SlicedAdam({"w": whole}, epsilon=1e-8)
    for _ in range(30):
        rows, columns = slice(0, int(draws.integers(1, 4))), slice(*sorted(draws.choice(6, 2, replace=False)))
        leaf = whole[rows, columns]
        leaf.grad = torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
        for i in range(rows.start, rows.stop):
            for j in range(columns.start, columns.stop):
                alone[i][j].grad = leaf.grad[i, j - columns.start].clone()
                theirs[i][j].step()
        ours.step([Slice("w", (rows, columns), leaf)], learning_rate=0.05)
        assert leaf.grad is None
    expected = torch.stack([torch.stack([weight.detach() for weight in row]) for row in alone])
    assert torch.allclose(whole, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [SlicedAdam, SlicedAdagrad, SlicedSGD])
def test_what_no_path_holds_rests(kind):
    """Several paths a step, after steps that moved every weight: what none of a step's paths holds, in the rectangle
    around their slices or not, is unchanged to the last bit, its state as well; what one holds is where an optimizer
    that gets the same gradients weight by weight has it."""
    supernet = Supernet(SPACE, SHAPE, torch.Generator().manual_seed(0)).double()
    parameters = supernet.parameters_by_name()
    alone = {name: value.detach().clone() for name, value in parameters.items()}
    ours, theirs = (kind() if kind is SlicedSGD else kind(values) for values in (parameters, alone))
    draws, generator = numpy.random.default_rng(7), torch.Generator().manual_seed(1)
    whole = [Slice(name, (), value.detach()) for name, value in parameters.items()]
    for part in whole:
        part.leaf.grad = torch.randn(part.leaf.shape, generator=generator).double()
        take_step(theirs, part.name, alone[part.name], (), part.leaf.grad.clone())
    ours.step(whole, learning_rate=0.05)
    resting_in_a_rectangle = 0
    for _ in range(4):
        paths = [supernet.path(single_operator_any_connection(SPACE, draws)) for _ in range(3)]
        held = {name: torch.zeros(value.shape, dtype=torch.bool) for name, value in parameters.items()}
        gradients = {name: torch.zeros_like(value) for name, value in alone.items()}
        for part in (part for path in paths for part in path.slices):
            part.leaf.grad = torch.randn(part.leaf.shape, generator=generator).double()
            held[part.name][part.index] = True
            gradients[part.name][part.index] += part.leaf.grad
        before = {name: value.clone() for name, value in everything(parameters, ours).items()}
        common = common_slices(paths, parameters)
        sum_gradients(paths, common)
        resting_in_a_rectangle += sum(int((~held[part.name][part.index]).sum()) for part in common)
        ours.step(common, learning_rate=0.05)
        for name, value in everything(parameters, ours).items():
            resting = ~next(where for own, where in held.items() if name.startswith(own))
            assert torch.equal(value[resting], before[name][resting]), name
        for name, where in held.items():
            take_step(theirs, name, alone[name], (where,), gradients[name][where])
    assert resting_in_a_rectangle
    for name, value in everything(parameters, ours).items():
        expected = everything(alone, theirs)[name]
        assert torch.allclose(value, expected, rtol=1e-12, atol=1e-12), name


def everything(parameters, optimizer: SlicedOptimizer) -> dict[str, torch.Tensor]:
    """All weights, and their state by names that begin with the parameter's."""
    state = {f"{name}, state": value for name, value in optimizer.state_dict().items()}
    return {name: value.detach() for name, value in parameters.items()} | state


def take_step(optimizer, name, weights, index, gradient):
    """A step of some weights alone, gathered into a vector of their own, with their state."""
    state = {key: value for key, value in optimizer.state_dict().items() if key.startswith(f"{name}.") or key == name}
    parts = {key: value[index].clone() for key, value in {**state, "": weights}.items()}
    leaf = parts.pop("")
    leaf.grad = gradient
    alone = type(optimizer)() if not state else type(optimizer)({name: leaf})
    alone.load_state_dict(parts)
    alone.step([Slice(name, (), leaf)], learning_rate=0.05)
    weights[index] = leaf
    for key, value in alone.state_dict().items():
        optimizer.state_dict()[key][index] = value


@pytest.mark.parametrize("kind", [SlicedAdam, SlicedSGD])
def test_states_of_other_optimizers_are_refused(kind):
    """A state is loaded whole, in place, and only into its own kind and network."""
    parameters = dict(Supernet(SPACE, SHAPE).parameters_by_name())
    first, second = (kind() if kind is SlicedSGD else kind(parameters) for _ in range(2))
    for tensor in first.state_dict().values():
        tensor.fill_(2.0)
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(tensor, torch.full_like(tensor, 2.0)) for tensor in second.state_dict().values())
    with pytest.raises(ValueError, match="other parameters"):
        second.load_state_dict(SlicedAdagrad(parameters).state_dict())


def test_state_goes_on_where_it_was():
    """A new optimizer with the loaded state makes the same step; another network's state is refused."""
    supernet = Supernet(SPACE, SHAPE, torch.Generator().manual_seed(0))
    first = SlicedAdagrad(supernet.parameters_by_name(), initial_square=0.5)
    second = SlicedAdagrad(supernet.parameters_by_name())
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(second.squares[name], first.squares[name]) for name in first.squares)
    with pytest.raises(ValueError, match="other parameters"):
        second.load_state_dict({"x": torch.zeros(1)})


@pytest.mark.parametrize("name", ["adagrad", "adam", "sgd"])
def test_wide_matrices_learn_slower(name):
    """With reference inputs a matrix of four times as many has a quarter of the rate, as torch.optim has it in a
    parameter group of its own; narrower matrices and vectors keep theirs."""
    generator = torch.Generator().manual_seed(0)
    theirs = {name: torch.randn(shape, generator=generator).double() for name, shape in SHAPES.items()}
    ours = {name: value.clone() for name, value in theirs.items()}
    rates = {"wide": 0.025, "narrow": 0.1, "bias": 0.1}
    groups = [{"params": [theirs[name].requires_grad_()], "lr": rate} for name, rate in rates.items()]
    expected = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[name](groups)
    optimizer = {
        "adagrad": SlicedAdagrad(ours, reference_inputs=8),
        "adam": SlicedAdam(ours, reference_inputs=8),
        "sgd": SlicedSGD(reference_inputs=8),
    }[name]
    for _ in range(5):
        slices = [Slice(name, (), value) for name, value in ours.items()]
        for part in slices:
            part.leaf.grad = torch.randn(part.leaf.shape, generator=generator).double()
            theirs[part.name].grad = part.leaf.grad.clone()
        optimizer.step(slices, learning_rate=0.1)
        expected.step()
    for name, value in theirs.items():
        assert torch.allclose(ours[name], value, rtol=1e-12, atol=1e-12), name


@pytest.mark.parametrize("kind", [SlicedAdagrad, SlicedSGD])
def test_a_layer_in_slices_learns_as_a_whole_one(kind):
    """Steps on a path change what it computes as steps on the extracted network do: a layer whose columns lie apart in
    the supernet has the rate of all its inputs, not of each slice's."""
    draws, generator = numpy.random.default_rng(4), torch.Generator().manual_seed(0)
    supernet = Supernet(SPACE, SHAPE, generator).double()
    nn.init.normal_(supernet.parameters_by_name()["head.weight"], generator=generator)
    architecture = single_operator_any_connection(SPACE, draws)
    own = extract(supernet, architecture)
    rows = torch.randn(16, SHAPE.integers, generator=generator).double()
    sparse = torch.randn(16, SHAPE.fields, SHAPE.embedding_width, generator=generator).double()
    before = own(rows, sparse).detach()
    steppers = {}
    for which, parameters in (("path", supernet.parameters_by_name()), ("own", dict(own.named_parameters()))):
        steppers[which] = kind(reference_inputs=4) if kind is SlicedSGD else kind(parameters, reference_inputs=4)
    for _ in range(3):
        path = supernet.path(architecture)
        whole = [Slice(name, (), value) for name, value in own.named_parameters()]
        for which, network, slices in (("path", path.network, path.slices), ("own", own, whole)):
            network(rows, sparse).square().mean().backward()
            steppers[which].step(slices, learning_rate=0.01)
    assert any(sum(part.name == other.name for other in path.slices) > 1 for part in path.slices)
    found = supernet(rows, sparse, architecture)
    assert not torch.allclose(found, before, rtol=1e-3)
    torch.testing.assert_close(found, own(rows, sparse), rtol=1e-9, atol=1e-9)


SHAPES = {"wide": (3, 32), "narrow": (32, 3), "bias": (32,)}
"""Outputs and inputs of matrices around eight inputs, and a vector."""
