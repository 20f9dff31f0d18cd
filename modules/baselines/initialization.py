"""torchrec's blocks draw their first weights from torch's global generator; here the generator is handed over."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """While the block runs, torch's global CPU generator is one seeded from `generator`; afterwards it is as before.

    Without a generator nothing changes.
    """
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
