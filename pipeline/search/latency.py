"""How long a candidate's network takes: measured, never inferred from its multiply-accumulates."""

import copy

import torch
from torch import nn
from torch.utils.benchmark import Timer

from modules.space import InputShape

BATCH_ROWS = 256
"""Rows of the batch that is timed."""
MINIMUM_S = 0.1
"""Seconds of repeats, at least, of which the median is taken."""


def latency_us(network: nn.Module, shape: InputShape) -> float:
    """Median time in microseconds of a network's forward pass, (dense [B, I], sparse [B, F, D]) → logit [B].

    On one CPU thread, in evaluation, without gradients, for a batch of `BATCH_ROWS` rows that are looked up already.
    torch.utils.benchmark warms up, chooses how many passes make one measurement, and repeats it for `MINIMUM_S`.
    """
    generator = torch.Generator().manual_seed(0)
    dense = torch.rand(BATCH_ROWS, shape.integers, generator=generator)
    sparse = torch.randn(BATCH_ROWS, shape.fields, shape.embedding_width, generator=generator)
    timed = copy.deepcopy(network).cpu().eval()
    with torch.inference_mode():
        timer = Timer("timed(dense, sparse)", globals={"timed": timed, "dense": dense, "sparse": sparse}, num_threads=1)
        return float(timer.blocked_autorange(min_run_time=MINIMUM_S).median * 1e6)
