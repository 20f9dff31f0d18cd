"""A last layer trained as the NASRec authors train it before they score a candidate: some steps of Adagrad.

From the authors' nasrec/eval_subnet_from_supernet.py, its scripts (scripts/run_ea) and utils/lr_schedule.py: 500 steps
of 512 rows, ε 1e-2, a rate that rises to .04 over the first tenth of the steps and falls along a cosine, gradients
clipped at 5. The rows are read once, in order; no feature is kept.

B rows of a step, P features.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import FrozenRows

EPSILON = 1e-2
"""Adagrad's ε."""
CLIP_NORM = 5.0
"""Norm of a step's gradient above which it is scaled to this norm."""
LEAST_RATE = 1e-8
"""Rate at the beginning and, nearly, at the end."""
SCALE_EPSILON = 1e-6
"""Added to the norm where the gradient is scaled, as torch does."""

Features = Callable[[Tensor, Tensor], Iterable[Tensor]]
"""Dense [B, I], embedded [B, F, D] → what each head reads, [B, P], in order."""


class PublishedHead:
    """One last layer in training: weight and bias, and Adagrad's sums of squares."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """Begins with a copy of weight [P] and bias [1]."""
        self.weight, self.bias = weight.clone(), bias.clone()
        self._squares = [torch.zeros_like(weight), torch.zeros_like(bias)]

    def step(self, features: Tensor, label: Tensor, rate: float, factor: Tensor | None = None) -> None:
        """One step on features [B, P], labels [B] and what the rows count for [B]."""
        residual = ((features @ self.weight + self.bias).sigmoid() - label) / len(label)  # [B]
        residual = residual if factor is None else residual * factor
        gradients = [residual @ features, residual.sum()[None]]
        norm = math.hypot(*(float(gradient.norm()) for gradient in gradients))
        scale = min(1.0, CLIP_NORM / (norm + SCALE_EPSILON))
        for value, square, gradient in zip((self.weight, self.bias), self._squares, gradients, strict=True):
            gradient *= scale
            square.addcmul_(gradient, gradient)
            value.addcdiv_(gradient, square.sqrt().add_(EPSILON), value=-rate)


def published_rate(step: int, config: ScoringConfig) -> float:
    """The rate of a step, counted from 0. The authors' schedule is set back by one before the first step.

    >>> config = ScoringConfig(published_steps=100)
    >>> [round(published_rate(step, config), 3) for step in (0, 1, 6, 11, 56, 99)]
    [0.0, 0.0, 0.02, 0.04, 0.02, 0.0]
    """
    place, warm_up = step - 1, config.published_steps // 10
    if place < 0:
        return LEAST_RATE
    if place < warm_up:
        share = place / warm_up
    else:
        share = (1 + math.cos(math.pi * (place - warm_up) / (config.published_steps - warm_up))) / 2
    return LEAST_RATE + (config.published_rate - LEAST_RATE) * share


def train_heads(
    features: Features, heads: Sequence[tuple[Tensor, Tensor]], rows: FrozenRows, config: ScoringConfig
) -> list[tuple[Tensor, Tensor]]:
    """Weights [P] and biases [1] after all steps, from those given. Where the rows do not suffice they are read again.

    Fewer rows than one batch are a batch.
    """
    trained = [PublishedHead(weight, bias) for weight, bias in heads]
    size = config.published_batch
    batches = max(1, len(rows) // size)
    with torch.no_grad():
        for step in range(config.published_steps):
            place = step % batches * size
            batch, rate = rows.part(place, place + size), published_rate(step, config)
            for head, read in zip(trained, features(batch.dense, batch.embedded), strict=True):
                head.step(read, batch.label, rate, batch.factor)
    return [(head.weight, head.bias) for head in trained]
