"""Noise fits, stuck-at shares and IR drop."""

import numpy
import pytest

from pim_codesign.devices import DEFAULT_STUCK_AT, STRESS_STUCK_AT, StuckAt, ir_drop_gain, milo_sigma_us, wan_sigma_us


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


def test_noise_is_positive_over_its_range_and_refused_outside() -> None:
    """A standard deviation is positive wherever the fit holds; outside, a ValueError says where that is."""
    assert (wan_sigma_us(numpy.linspace(0, 39.3, 500)) > 0).all()
    assert (milo_sigma_us(numpy.linspace(50, 225, 500)) > 0).all()
    with pytest.raises(ValueError, match=r"from 0.0 to 39.3"):
        wan_sigma_us(40.0)
    with pytest.raises(ValueError, match=r"from 50.0 to 225.0"):
        milo_sigma_us([49.0, 60.0])


def test_stuck_at_shares_are_shares() -> None:
    """Shares are non-negative and sum to at most one; the stress case is the published 10.79 %."""
    assert DEFAULT_STUCK_AT.low + DEFAULT_STUCK_AT.high == pytest.approx(0.002)
    assert STRESS_STUCK_AT.low + STRESS_STUCK_AT.high == pytest.approx(0.1079)
    with pytest.raises(ValueError, match="shares"):
        StuckAt(low=0.6, high=0.5)
