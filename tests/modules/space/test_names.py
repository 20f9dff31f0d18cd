"""modules/space/names.py: the names are those of what there is."""

from typing import get_args

from modules.space import SPACES, sampling
from modules.space.names import SAMPLER_NAMES, SpaceName


def test_spaces():
    """Each name is a space's, and no space is left out."""
    assert get_args(SpaceName) == tuple(SPACES)


def test_samplers():
    """Each name is that of a sampler and of its function, and no public function (space, generator) is left out."""
    assert tuple(sampling.SAMPLERS) == SAMPLER_NAMES
    assert all(sampler.__name__ == name for name, sampler in sampling.SAMPLERS.items())
    parameters = {"space", "generator", "return"}
    like_samplers = {
        name for name, own in vars(sampling).items() if getattr(own, "__annotations__", {}).keys() == parameters
    }
    assert like_samplers == set(SAMPLER_NAMES)
