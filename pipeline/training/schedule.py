"""The learning rates of every step: a warm-up, then the dense part's schedule, and the tables' own."""

import math
from dataclasses import dataclass

from pipeline.run.records.recipe import TrainingRecipe

LAST_TABLE_SHARE = 0.2
"""Share of the tables' peak rate at the end of a pass, where their rate falls in each pass."""


@dataclass(frozen=True)
class LearningRates:
    """The learning rates of one step."""

    dense: float
    """Of the dense part's optimizer."""
    tables: float
    """Of the tables' row-wise Adagrad."""


def learning_rates(config: TrainingRecipe, step: int, pass_steps: int) -> LearningRates:
    """The rates at a step, counted from 0 over all passes of `pass_steps` each."""
    total_steps = pass_steps * (config.planned_epochs or config.epochs)
    factor = learning_rate_factor(config, step, total_steps)
    table_factor = factor
    if config.table_schedule == "each_pass":
        table_factor = falling_factor(config, step, pass_steps)
    return LearningRates(factor * config.learning_rate, table_factor * config.table_learning_rate)


def falling_factor(config: TrainingRecipe, step: int, pass_steps: int) -> float:
    """Share of the peak rate that falls in each pass from 1 to a fifth; the first pass rises to 1 in its warm-up.

    >>> config = TrainingRecipe(epochs=2, warm_up_share=0.1)
    >>> [round(falling_factor(config, step, 11), 2) for step in (0, 1, 10, 11, 21)]
    [1.0, 0.92, 0.2, 1.0, 0.2]
    """
    warm_up_steps = max(1, round(config.warm_up_share * pass_steps))
    if step < warm_up_steps:
        return (step + 1) / warm_up_steps
    share = step % pass_steps / max(1, pass_steps - 1)
    return 1 - (1 - LAST_TABLE_SHARE) * share


def learning_rate_factor(config: TrainingRecipe, step: int, total_steps: int) -> float:
    """Share of the peak learning rates at a step: linear warm-up, then cosine to zero or constant.

    >>> config = TrainingRecipe(warm_up_share=0.1)
    >>> [round(learning_rate_factor(config, step, 100), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm_up_steps = max(1, round(config.warm_up_share * total_steps))
    if step < warm_up_steps:
        return (step + 1) / warm_up_steps
    if config.schedule == "constant":
        return 1.0
    share = (step - warm_up_steps) / max(1, total_steps - warm_up_steps)
    return 0.5 * (1 + math.cos(math.pi * share))
