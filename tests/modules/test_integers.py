"""modules/integers.py: the integers' standardization and encoding, alone and in every kind of network."""

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.integers import MISSING, PiecewiseLinear, Standardization
from modules.operators import InputShape
from modules.space import OPEN, single_operator_any_connection
from modules.supernet import Subnet, Supernet, extract

SHAPE = InputShape(integers=3, fields=4, embedding_width=8)


def standardization() -> Standardization:
    """One column of each kind: ordinary, far away, constant."""
    return Standardization(torch.tensor([0.5, 100.0, 1.0]), torch.tensor([0.1, 7.0, 0.0]))


def test_standardized_columns() -> None:
    """Columns get mean 0 and deviation 1; one that does not vary stays as it is; without numbers all do."""
    rows = torch.tensor([0.5, 100.0, 1.0]) + torch.tensor([0.1, 7.0, 0.0]) * torch.randn(10_000, 3)
    found = standardization()(rows)
    assert torch.allclose(found[:, :2].mean(0), torch.zeros(2), atol=0.05)
    assert torch.allclose(found[:, :2].std(0), torch.ones(2), atol=0.05)
    assert torch.equal(found[:, 2], rows[:, 2])
    assert torch.equal(Standardization()(rows), rows)


def test_networks_standardize_first() -> None:
    """A sub-network of a supernet, the extracted one and its script see standardized integers: the same logit as
    without standardization on integers that were standardized before. No checkpoint holds the numbers."""
    own, generator = standardization(), torch.Generator()
    supernet = Supernet(OPEN, SHAPE, generator.manual_seed(0), own).eval()
    plain = Supernet(OPEN, SHAPE, generator.manual_seed(0)).eval()
    dense, sparse = 50 * torch.rand(5, 3), torch.rand(5, 4, 8)
    for seed in range(10):
        architecture = single_operator_any_connection(OPEN, numpy.random.default_rng(seed))
        expected = plain(own(dense), sparse, architecture)
        assert torch.equal(supernet(dense, sparse, architecture), expected)
        extracted = extract(supernet, architecture).eval()
        for network in (extracted, torch.jit.script(extracted)):
            assert torch.allclose(network(dense, sparse), expected, atol=1e-3, rtol=1e-3)
    alone = Subnet(architecture, SHAPE, integers=own)
    assert not any("integers" in name for name in [*alone.state_dict(), *supernet.state_dict()])


@given(st.lists(st.integers(-400, 400), min_size=2, max_size=6, unique=True), st.integers(0, 2**31 - 1))
def test_a_linear_layer_is_any_piecewise_linear_function(quarters: list[int], seed: int) -> None:
    """The bins' fillings, weighted by a function's rises over the bins, give numpy.interp of it, left and right of all
    bins too; bins that a column does not have stay 0."""
    edges = sorted(quarter / 4 for quarter in quarters)
    random = numpy.random.default_rng(seed)
    heights, x = random.normal(size=len(edges)), random.uniform(-150, 150, size=50)
    x[x == MISSING] = 0.0
    x[: len(edges)] = [edge for edge in edges if edge != MISSING] + [edges[-1]] * (MISSING in edges)
    found = PiecewiseLinear([edges], bins=7).double()(torch.from_numpy(x)[:, None]).numpy()  # [B, T + 2]
    assert numpy.array_equal(found[:, 0], x) and not found[:, 1].any()
    assert not found[:, 2 + len(edges) - 1 :].any()
    fitted = heights[0] + found[:, 2 : 1 + len(edges)] @ numpy.diff(heights)
    assert numpy.allclose(fitted, numpy.interp(x, edges, heights), atol=1e-5)


def test_missing_numbers_are_told() -> None:
    """A missing number has its flag set and fills no bin, whatever the bins; columns do not mix; a column that is never
    there has no bins."""
    encoding = PiecewiseLinear([[-3.0, 1.0, 2.0], [0.0, 4.0], []], bins=2)
    dense = torch.tensor([[MISSING, 3.0, MISSING], [1.5, MISSING, MISSING]])
    found = encoding(dense).view(2, 3, 4)  # rows, columns: x, missing, bins
    assert found[0].tolist() == [[0, 1, 0, 0], [3.0, 0, 0.75, 0], [0, 1, 0, 0]]
    assert found[1].tolist() == [[1.5, 0, 1, 0.5], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert torch.equal(torch.jit.script(encoding)(dense), encoding(dense))


def test_encoded_columns_that_do_not_vary_are_zero() -> None:
    """A flag that no measured row had set says nothing, however later rows have it; a seldom set one is not divided by
    less than LEAST_DEVIATION."""
    mean, deviation = torch.tensor([2.0, 0.0, 1e-6]), torch.tensor([0.5, 0.0, 1e-3])
    own = Standardization(mean, deviation, PiecewiseLinear([[0.0, 2.0]], bins=1))
    there, missing = own(torch.tensor([[2.0], [MISSING]])).tolist()
    assert there == pytest.approx([0.0, 0.0, (1 - 1e-6) / 0.1]) and missing[:2] == [-4.0, 0.0]
