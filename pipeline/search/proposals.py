"""What a strategy has proposed: architectures waiting to be scored, and which networks were ever proposed."""

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from modules.space import Architecture, SearchSpace, canonical
from pipeline.run.records.candidates import Candidate
from pipeline.run.records.codec import from_plain

_ATTEMPTS = 1000
"""Draws without a new network after which a source is given up; it may then still have about 1 new in 1,000."""


class Proposals:
    """Architectures proposed and not yet scored, in order."""

    def __init__(self) -> None:
        self._asked: dict[Architecture, bool] = {}  # whether the driver has been given it
        self._seen: dict[str, None] = {}  # an ordered set

    def __len__(self) -> int:
        """Architectures proposed and not yet scored."""
        return len(self._asked)

    @property
    def proposed(self) -> int:
        """Networks proposed so far, scored or not."""
        return len(self._seen)

    def propose(self, draw: Callable[[], Architecture]) -> bool:
        """Draw until the network is a new one and add it; False when none was found."""
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
        """Remove what was scored. Raises ValueError, and changes nothing, if one of them was not asked."""
        scored: set[Architecture] = set()
        for candidate in candidates:
            if not self._asked.get(candidate.architecture) or candidate.architecture in scored:
                raise ValueError(f"candidate {candidate.index} was scored but not asked, or scored twice")
            scored.add(candidate.architecture)
        self._asked = {waiting: asked for waiting, asked in self._asked.items() if waiting not in scored}

    def state_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"waiting": [architecture.to_json() for architecture in self._asked], "seen": list(self._seen)}

    def load_state_dict(self, state: dict[str, Any], space: SearchSpace) -> None:
        """Resume from a `state_dict`; all that is not scored waits to be asked again."""
        waiting = (from_plain(one, Architecture, "search state, waiting", space) for one in state["waiting"])
        self._asked = dict.fromkeys(waiting, False)
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
    """Raise ValueError naming the fields of a `state_dict` that show it to be of another search."""
    differing = {name: (state.get(name), value) for name, value in expected.items() if state.get(name) != value}
    if differing:
        found = "; ".join(f"{name} is {was!r}, now {value!r}" for name, (was, value) in differing.items())
        raise ValueError(f"the search state is of another search: {found}; continue that search or start a new run")
