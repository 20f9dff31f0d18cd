"""Stuck-at shares and IR drop: target V14."""

from itertools import pairwise

import pytest

from pim_codesign.devices import StuckAt, ir_drop_gain


@pytest.mark.parametrize(
    ("on_ohm", "rows", "gain"),
    [
        (10e3, 64, 0.961),
        (10e3, 128, 0.866),
        (10e3, 256, 0.615),
        (100e3, 64, 0.996),
        (100e3, 128, 0.985),
        (100e3, 256, 0.944),
    ],
)
def test_v14_ir_drop_gain(on_ohm: float, rows: int, gain: float) -> None:
    """V14: the fit gives the circuit solver's gains within 0.02."""
    assert ir_drop_gain(rows, wire_ohm=1.0, on_ohm=on_ohm) == pytest.approx(gain, abs=0.02)


def test_ir_drop_only_loses() -> None:
    """Ideal wires lose nothing, and more rows or more wire resistance lose more."""
    assert ir_drop_gain(128, wire_ohm=0.0, on_ohm=10e3) == 1
    gains = [[ir_drop_gain(rows, wire_ohm, 100e3) for rows in (64, 128, 256)] for wire_ohm in (0.5, 1.0, 2.0)]
    for table in (gains, [list(column) for column in zip(*gains, strict=True)]):
        assert all(more < less for row in table for less, more in pairwise(row))


@pytest.mark.parametrize(("low", "high"), [(0.6, 0.5), (-0.1, 0.5), (0.1, -0.1)])
def test_stuck_at_shares_are_shares(low: float, high: float) -> None:
    """Shares are non-negative and sum to at most one."""
    with pytest.raises(ValueError, match="StuckAt"):
        StuckAt(low=low, high=high)
