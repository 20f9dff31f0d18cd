"""pipeline/training/config.py: bounds hold at their ends and everything outside them is refused by name."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.config import TrainingConfig

LOWEST = {"batch_size": 1, "epochs": 1, "log_every": 1, "checkpoint_every": 0}
AT_LEAST_ZERO = ("table_prior_count", "initial_square")
ABOVE_ZERO = ("learning_rate", "table_learning_rate", "clip_norm", "epsilon")


@pytest.mark.parametrize("field", LOWEST)
def test_whole_numbers_have_a_lowest(field: str) -> None:
    """The lowest value is taken, the one below it is a ValueError with field and value."""
    lowest = LOWEST[field]
    assert getattr(TrainingConfig(**{field: lowest}), field) == lowest  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"^{field} is {lowest - 1}; "):
        TrainingConfig(**{field: lowest - 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-math.inf, -1.0, -1e-300, math.nan])
@pytest.mark.parametrize("field", [*AT_LEAST_ZERO, *ABOVE_ZERO, "warm_up_share"])
def test_no_negative_rates(field: str, value: float) -> None:
    """Below zero, and what is no number, are ValueErrors naming the field."""
    with pytest.raises(ValueError, match=f"^{field} is {value}; "):
        TrainingConfig(**{field: value})  # type: ignore[arg-type]


def test_zero() -> None:
    """Zero is refused where a division or a step would lose its meaning, and taken elsewhere."""
    TrainingConfig(table_prior_count=0, initial_square=0, warm_up_share=0)
    for field in ABOVE_ZERO:
        with pytest.raises(ValueError, match=f"^{field} is 0.0; it must be above 0"):
            TrainingConfig(**{field: 0.0})  # type: ignore[arg-type]


def test_a_warm_up_is_a_share() -> None:
    """All steps may be warm-up; more than all may not."""
    TrainingConfig(warm_up_share=1.0)
    with pytest.raises(ValueError, match=r"^warm_up_share is 1\.5; it is a share, 0 to 1"):
        TrainingConfig(warm_up_share=1.5)


@given(st.integers(1, 9), st.integers(-3, 12))
def test_a_plan_holds_the_passes(epochs: int, planned: int) -> None:
    """A plan is none (0), or at least as long as what is trained."""
    if planned == 0 or planned >= epochs:
        TrainingConfig(epochs=epochs, planned_epochs=planned)
    else:
        with pytest.raises(ValueError, match=f"^planned_epochs is {planned}; .*epochs, {epochs}$"):
            TrainingConfig(epochs=epochs, planned_epochs=planned)


def test_a_changed_configuration_is_checked_too() -> None:
    """It is frozen, and `replace` makes a new one through the same checks."""
    config = TrainingConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 2  # type: ignore[misc]
    with pytest.raises(ValueError, match="epochs is 0"):
        dataclasses.replace(config, epochs=0)
