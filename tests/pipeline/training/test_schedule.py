"""pipeline/training/schedule.py: the rates of every step against their formulas."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.config import TrainingConfig
from pipeline.training.schedule import LAST_TABLE_SHARE, falling_factor, learning_rate_factor, learning_rates


@given(st.floats(0, 1), st.integers(1, 500), st.sampled_from(["cosine", "constant"]))
def test_learning_rate_factor(share: float, total: int, schedule: Any) -> None:
    """Rises linearly to 1 at the end of the warm-up (never 0, at least one step), then the cosine or 1; in (0, 1]."""
    config = TrainingConfig(warm_up_share=share, schedule=schedule)
    warm_up = max(1, round(share * total))
    for step in range(total):
        found = learning_rate_factor(config, step, total)
        assert 0 < found <= 1
        if step < warm_up:
            assert found == pytest.approx((step + 1) / warm_up)
        elif schedule == "constant":
            assert found == 1
        else:
            angle = math.pi * (step - warm_up) / (total - warm_up)
            assert found == pytest.approx(math.cos(angle / 2) ** 2)


@given(st.floats(0, 1), st.integers(1, 60), st.integers(1, 4))
def test_table_rate_of_each_pass(share: float, pass_steps: int, passes: int) -> None:
    """It never leaves (0, 1], rises in the first pass's warm-up only, and every later pass falls alike from 1."""
    config = TrainingConfig(epochs=passes, warm_up_share=share)
    found = [falling_factor(config, step, pass_steps) for step in range(passes * pass_steps)]
    assert all(0 < factor <= 1 for factor in found)
    later = [found[start : start + pass_steps] for start in range(pass_steps, len(found), pass_steps)]
    for one in later:
        assert one == sorted(one, reverse=True) == later[0]
        assert one[0] == 1 and (pass_steps == 1 or one[-1] == pytest.approx(LAST_TABLE_SHARE))


def test_a_longer_plan_ends_above_zero() -> None:
    """Two passes of a plan for three have the first two thirds of its rates; the tables follow the same plan."""
    two = TrainingConfig(epochs=2, planned_epochs=3)
    three = TrainingConfig(epochs=3)
    for step in range(20):
        assert learning_rates(two, step, 10) == learning_rates(three, step, 10)
    assert learning_rates(two, 19, 10).dense > 0.2 * two.learning_rate


def test_each_pass_leaves_the_dense_rate_alone() -> None:
    """The dense rate is the same whatever the tables' schedule."""
    plain = TrainingConfig(epochs=3)
    falling = TrainingConfig(epochs=3, table_schedule="each_pass")
    for step in range(30):
        assert learning_rates(plain, step, 10).dense == learning_rates(falling, step, 10).dense


def test_a_plan_shorter_than_the_training_is_refused() -> None:
    """The error names both numbers."""
    with pytest.raises(ValueError, match="planned_epochs is 2; it must be 0 or at least epochs, 3"):
        TrainingConfig(epochs=3, planned_epochs=2)
