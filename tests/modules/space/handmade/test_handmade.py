"""Hand-made models at their default sizes, as points of the open space."""

import json
from pathlib import Path

import pytest
import torch

from modules.space import SPACES, Architecture, InputShape, canonical
from modules.space import handmade as package
from modules.space.handmade import HANDMADE, handmade
from modules.supernet import Subnet

SHAPES = [InputShape(13, 26, 16), InputShape(1, 10, 64), InputShape(2, 1, 8)]
OPEN = SPACES["open"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", HANDMADE)
def test_it_is_a_point_of_the_open_space(name, shape):
    """The space takes it, JSON keeps it."""
    architecture = handmade(name, shape)
    OPEN.check(architecture)
    assert Architecture.from_json(json.loads(json.dumps(architecture.to_json())), OPEN) == architecture


@pytest.mark.parametrize("name", HANDMADE)
def test_it_is_scripted(name):
    """Scripted it is the same, at its default size."""
    shape = SHAPES[2]
    network = Subnet(handmade(name, shape), shape, torch.Generator().manual_seed(0)).double().eval()
    given = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 1, 8, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(torch.jit.script(network)(*given), network(*given), rtol=1e-12, atol=1e-12)


def test_each_is_a_file():
    """A model is the function of its name in the file of its name, and no file is left out of the titles."""
    files = {path.stem for path in Path(package.__file__).parent.glob("*.py")}
    assert files - {"__init__", "blocks"} == set(HANDMADE)


def test_all_differ():
    """No two are the same function of their weights."""
    assert len({canonical(handmade(name, SHAPES[0])) for name in HANDMADE}) == len(HANDMADE)


def test_unknown_name():
    """It is refused with the names that there are."""
    with pytest.raises(ValueError, match=r"'dlmr' is unknown; there are .*dlrm"):
        handmade("dlmr", SHAPES[0])
