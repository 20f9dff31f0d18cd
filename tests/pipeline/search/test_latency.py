"""Latency is a measurement: it follows what a network does, in evaluation and without gradients."""

import time

import pytest
import torch
from torch import Tensor, nn

from modules.space import InputShape
from pipeline.search import latency
from pipeline.search.latency import BATCH_ROWS, latency_us

SHAPE = InputShape(integers=3, fields=5, embedding_width=4)


class Waiting(nn.Module):
    """Sleeps, and looks at how it is called."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        assert dense.shape == (BATCH_ROWS, 3) and sparse.shape == (BATCH_ROWS, 5, 4)
        assert not self.training and torch.get_num_threads() == 1
        logit = self.weight * dense.sum(1)
        assert not logit.requires_grad
        time.sleep(self.seconds)
        return logit


def test_it_is_the_time_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that sleeps 2 or 6 ms takes at least so long, and less than twice that; it stays as it was, and so do
    the number of threads and torch's random state."""
    monkeypatch.setattr(latency, "MINIMUM_S", 0.03)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    for seconds in (0.002, 0.006):
        network = Waiting(seconds).train()
        assert seconds <= latency_us(network, SHAPE) / 1e6 < 2 * seconds
        assert network.training
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)
