"""First weights come from the generator that is handed over, and torch's global one is left as it was."""

import pytest
import torch
from torch import Tensor, nn

from modules.baselines.initialization import drawing_from


def drawn(generator: torch.Generator | None) -> Tensor:
    """The first weights of a module that knows the global generator only."""
    with drawing_from(generator):
        return nn.Linear(4, 3).weight.detach().clone()


def test_draws_depend_on_the_generator_alone() -> None:
    """Whatever the global state is, equal generators give equal weights and others give others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        one = drawn(torch.Generator().manual_seed(7))
        torch.manual_seed(2)
        again, other = drawn(torch.Generator().manual_seed(7)), drawn(torch.Generator().manual_seed(8))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_generator_moves_on() -> None:
    """Two modules from one generator have different weights."""
    generator = torch.Generator().manual_seed(7)
    assert not torch.equal(drawn(generator), drawn(generator))


@pytest.mark.parametrize("fails", [False, True])
def test_the_global_generator_is_as_before(fails: bool) -> None:
    """Also where building fails; the error is the builder's own."""
    before = torch.get_rng_state()
    try:
        with drawing_from(torch.Generator().manual_seed(7)):
            torch.rand(3)
            assert not torch.equal(before, torch.get_rng_state())
            if fails:
                raise KeyError("builder")
    except KeyError as error:
        assert fails and error.args == ("builder",)
    assert torch.equal(before, torch.get_rng_state())


def test_without_a_generator_the_global_one_draws() -> None:
    """The weights are those that torch would have drawn by itself, and the global generator has moved."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected, after = nn.Linear(4, 3).weight, torch.get_rng_state()
        torch.manual_seed(7)
        assert torch.equal(drawn(None), expected)
        assert torch.equal(torch.get_rng_state(), after)
