"""The sliced optimizer is the dense one."""

import numpy
import pytest
import torch

from modules.space import InputShape, SearchSpace, single_operator_any_connection
from modules.supernet import SlicedAdagrad, Supernet

SHAPE = InputShape(3, 4, 4)
SPACE = SearchSpace(
    "tiny",
    ("fc", "dot_product", "sigmoid_gating", "sum"),
    ("efc", "attention"),
    dense_widths=(4, 8, 16),
    sparse_widths=(2, 4),
    num_blocks=4,
)


@pytest.mark.parametrize("initial_square", [0.0, 0.1])
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


def test_state_goes_on_where_it_was():
    """A new optimizer with the loaded state makes the same step; another network's state is refused."""
    supernet = Supernet(SPACE, SHAPE, torch.Generator().manual_seed(0))
    first = SlicedAdagrad(supernet.parameters_by_name(), initial_square=0.5)
    second = SlicedAdagrad(supernet.parameters_by_name())
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(second.squares[name], first.squares[name]) for name in first.squares)
    with pytest.raises(ValueError, match="other parameters"):
        second.load_state_dict({"x": torch.zeros(1)})
