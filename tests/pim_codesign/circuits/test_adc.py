"""Converters: targets V8 and V10."""

import math
from itertools import pairwise

import pytest

from pim_codesign.circuits import ADC_BITS, ISAAC_ADC, MNSIM_ADC, NEUROSIM_ADC, Adc
from pim_codesign.circuits.adc import neurosim_power_w, neurosim_time_ns


@pytest.mark.parametrize("adc", [ISAAC_ADC, MNSIM_ADC, NEUROSIM_ADC])
def test_v8_energy_power_and_area_rise_with_bits(adc: Adc) -> None:
    """V8: energy and area are monotone in bits for every source, and so is power."""
    known = [bits for bits in ADC_BITS if bits <= adc.max_bits]
    for column in (adc.energy_pj, adc.area_um2):
        values = column[: len(known)]
        assert all(low < high for low, high in pairwise(values))
        assert all(math.isnan(value) for value in column[len(known) :])
    powers = [energy * rate for energy, rate in zip(adc.energy_pj, adc.rate_gs, strict=True)][: len(known)]  # mW
    assert all(low < high for low, high in pairwise(powers))


def test_v8_eight_bits_take_two_milliwatts() -> None:
    """V8: ISAAC's 8-bit converter takes 2.0 to 2.14 mW at 1.2 to 1.28 GS/s, within 1 %."""
    energy = ISAAC_ADC.energy_pj[ADC_BITS.index(8)]
    assert energy * 1.2 == pytest.approx(2.0, rel=0.01)
    assert energy * 1.28 == pytest.approx(2.14, rel=0.01)
    index = ADC_BITS.index(8)
    assert MNSIM_ADC.energy_pj[index] * MNSIM_ADC.rate_gs[index] == pytest.approx(2.0)


def test_v10_neurosim_eight_bits() -> None:
    """V10: 0.312 pJ a conversion within 20 %, of which the bits' part alone is half."""
    assert NEUROSIM_ADC.energy_pj[ADC_BITS.index(8)] == pytest.approx(0.312, rel=0.2)
    assert neurosim_power_w(8, column_ohm=1e12) * neurosim_time_ns(8) * 1e3 == pytest.approx(0.161, rel=0.01)
