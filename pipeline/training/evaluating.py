"""Networks while they are judged: nothing is dropped."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Let a network compute as it is exported, without dropout, and be in its former mode afterwards.

    >>> drop = nn.Dropout()
    >>> with evaluating(drop):
    ...     drop.training
    False
    >>> drop.training
    True
    """
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
