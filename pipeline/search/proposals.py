"""What a strategy has proposed: architectures waiting to be scored, and which networks were ever proposed."""

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from modules.space import Architecture, canonical
from pipeline.search.candidate import Candidate

_ATTEMPTS = 1000
"""Draws without a new network after which a source is given up: 10⁻³ of its chances may then remain."""


class Proposals:
    """Architectures proposed and not yet told, in order."""

    def __init__(self) -> None:
        self._asked: dict[Architecture, bool] = {}  # whether the driver has it
        self._seen: dict[str, None] = {}  # an ordered set

    def __len__(self) -> int:
        """Architectures proposed and not yet told."""
        return len(self._asked)

    @property
    def proposed(self) -> int:
        """Networks proposed so far, told or not."""
        return len(self._seen)

    def propose(self, draw: Callable[[], Architecture]) -> bool:
        """Draw until the network is a new one and line it up; False when none came up."""
        for _ in range(_ATTEMPTS):
            architecture = draw()
            key = _network_key(architecture)
            if key not in self._seen:
                self._seen[key] = None
                self._asked[architecture] = False
                return True
        return False

    def ask(self, n: int) -> list[Architecture]:
        """Hand out at most n more."""
        handed = list(itertools.islice((waiting for waiting, asked in self._asked.items() if not asked), n))
        self._asked |= dict.fromkeys(handed, True)
        return handed

    def settle(self, candidates: Sequence[Candidate]) -> None:
        """Strike out what was told. Raises ValueError, and changes nothing, if one of them was not asked."""
        told: set[Architecture] = set()
        for candidate in candidates:
            if not self._asked.get(candidate.architecture) or candidate.architecture in told:
                raise ValueError(f"candidate {candidate.index} was told but not asked, or told twice")
            told.add(candidate.architecture)
        self._asked = {waiting: asked for waiting, asked in self._asked.items() if waiting not in told}

    def state_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"waiting": [architecture.to_json() for architecture in self._asked], "seen": list(self._seen)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`, all that waits to be asked again."""
        self._asked = dict.fromkeys((Architecture.from_json(waiting) for waiting in state["waiting"]), False)
        self._seen = dict.fromkeys(state["seen"])


def _network_key(architecture: Architecture) -> str:
    """The same for architectures that are the same network."""
    return hashlib.sha256(json.dumps(canonical(architecture).to_json()).encode()).hexdigest()[:32]


def generator_state(generator: numpy.random.Generator) -> dict[str, Any]:
    """The generator's state as plain JSON values."""
    state = generator.bit_generator.state
    assert state["bit_generator"] == "PCG64", "the state of numpy.random.default_rng's generator is JSON-able"
    return dict(state)


def check_state(state: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise ValueError naming the fields of a state_dict that say it is of another search."""
    differing = {name: (state.get(name), value) for name, value in expected.items() if state.get(name) != value}
    if differing:
        found = "; ".join(f"{name} is {was!r}, now {value!r}" for name, (was, value) in differing.items())
        raise ValueError(f"the search state is of another search: {found}; go on with that one or start a new run")
