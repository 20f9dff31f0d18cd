"""modules/integers.py: the integers' standardization, alone and in every kind of network."""

import numpy
import torch

from modules.integers import Standardization
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
