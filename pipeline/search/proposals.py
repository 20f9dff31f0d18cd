"""What a strategy has proposed: architectures waiting to be scored, and which networks were ever proposed."""

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence

from modules.space import Architecture, InputShape, canonical, multiply_accumulates, parameter_count
from pipeline.run.records.candidates import Candidate
from pipeline.search.limits import Limits

_ATTEMPTS = 1000
"""Draws without a new network after which a source is given up; it may then still have about 1 new in 1,000."""


class Proposals:
    """Architectures proposed and not yet scored, in order; all are within the limits that are counted."""

    def __init__(self, limits: Limits, shape: InputShape) -> None:
        self._limits, self._shape = limits, shape
        self._asked: dict[Architecture, bool] = {}  # whether the driver has been given it
        self._seen: set[str] = set()

    def __len__(self) -> int:
        """Architectures proposed and not yet scored."""
        return len(self._asked)

    @property
    def proposed(self) -> int:
        """Networks proposed so far, scored or not."""
        return len(self._seen)

    def propose(self, draw: Callable[[], Architecture]) -> bool:
        """Draw until the network is a new one within the limits and add it; False when none was found.

        Raises ValueError when the limits leave none of the first draws.
        """
        refused: list[Architecture] = []
        for _ in range(_ATTEMPTS):
            architecture = draw()
            key = _network_key(architecture)
            if key in self._seen:
                continue
            if self._limits.allows(architecture, self._shape):
                self._seen.add(key)
                self._asked[architecture] = False
                return True
            refused.append(architecture)
        if not self._seen:
            raise ValueError(self._nothing_left(refused))
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

    def _nothing_left(self, refused: Sequence[Architecture]) -> str:
        least = min(multiply_accumulates(architecture, self._shape) for architecture in refused)
        fewest = min(parameter_count(architecture, self._shape) for architecture in refused)
        settings = (("max_mflops", self._limits.max_mflops), ("max_params", self._limits.max_params))
        within = " and ".join(f"search.{name} {value:g}" for name, value in settings if value)
        return (
            f"none of {len(refused):,} random architectures is within {within}: the least had {least / 1e6:.4g} "
            f"million multiply-accumulates, the least {fewest:,} parameters; raise the limit, or choose another space"
        )


def _network_key(architecture: Architecture) -> str:
    """The same for architectures that are the same network."""
    return hashlib.sha256(json.dumps(canonical(architecture).to_json()).encode()).hexdigest()[:32]
