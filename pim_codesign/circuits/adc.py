"""Analog-to-digital converters of 4 to 10 bits at 32 nm: energy per conversion, area and conversion rate.

The fit to Murmann's survey in the accelergy ADC plug-in is not used: below 5 bits it is not monotone (6.7 pJ at 1 bit).
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from pim_codesign.checks import number

AdcBits = Literal[4, 5, 6, 7, 8, 9, 10]
ADC_BITS: tuple[AdcBits, ...] = get_args(AdcBits)
"""Resolutions the tables hold, bits."""

# ISAAC's 8-bit converter scaled as a capacitive-DAC SAR (Saberi et al., TCAS-I 2011): hwcomponents-library, isaac.py.
_ISAAC_ENERGY_PJ = (0.79, 0.99, 1.20, 1.42, 1.67, 1.969, 2.379)
_ISAAC_AREA_UM2 = (361.04, 476.91, 626.91, 845.18, 1200.0, 1827.9, 3002.0)
_ISAAC_RATE_GS = 1.28

NEUROSIM_COLUMN_OHM = 4.83e3
"""Column resistance, Ω, at which NeuroSim's formula gives its 0.312 pJ at 8 bits: that of a column of about a hundred
cells."""


@dataclass(frozen=True)
class Adc:
    """A family of converters; entry i of each table belongs to `ADC_BITS[i]` bits."""

    energy_pj: tuple[float, ...]
    """Energy per conversion, pJ; NaN where the source has no such converter."""
    area_um2: tuple[float, ...]
    """Area per converter, µm²; NaN likewise."""
    rate_gs: tuple[float, ...]
    """Conversions per nanosecond; NaN likewise."""

    def __post_init__(self) -> None:
        for name in ("energy_pj", "area_um2", "rate_gs"):
            table = getattr(self, name)
            if not isinstance(table, tuple) or len(table) != len(ADC_BITS):
                raise ValueError(
                    f"Adc.{name} is {table!r}; it must be a tuple of {len(ADC_BITS)} numbers, for {ADC_BITS} bits"
                )
            for bits, value in zip(ADC_BITS, table, strict=True):
                if not (isinstance(value, float) and math.isnan(value)):
                    number(f"Adc.{name} at {bits} bits", value, above=0)
            if [value != value for value in table] != [value != value for value in self.energy_pj]:
                raise ValueError(
                    f"Adc.{name} and Adc.energy_pj have numbers for different bits; give all three for each"
                )
        if all(value != value for value in self.energy_pj):
            raise ValueError(f"Adc has no converter: give energy, area and rate for some of {ADC_BITS} bits")

    @property
    def max_bits(self) -> int:
        """The highest resolution the source has.

        >>> ISAAC_ADC.max_bits, MNSIM_ADC.max_bits
        (10, 8)
        """
        return max(bits for bits, energy in zip(ADC_BITS, self.energy_pj, strict=True) if not math.isnan(energy))


def neurosim_power_w(bits: int, column_ohm: float = NEUROSIM_COLUMN_OHM) -> float:
    """Power of NeuroSim's SAR converter at 32 nm (SarADC.cpp), W: one part by its bits, one by the column's current."""
    number("column_ohm", column_ohm, above=0)
    return (1.1294 * bits + 8.8998) * 1e-6 + 0.079449 * math.exp(-2.297 * math.log10(column_ohm))


def neurosim_time_ns(bits: int) -> float:
    """Time of one conversion of NeuroSim's SAR converter, ns: one cycle per bit and one to sample."""
    return bits + 1.0


def _mnsim() -> Adc:
    """MNSIM-2.0's converters (ADC.py): 4, 6 and 8 bits; 5 and 7 are geometric means, 9 and 10 do not exist."""
    known = {4: (0.7 / 1.0, 500.0, 1.0), 6: (1.26 / 1.0, math.sqrt(580.0 * 1650.0), 1.0), 8: (2.0 / 1.28, 1200.0, 1.28)}
    for bits in (5, 7):
        low, high = known[bits - 1], known[bits + 1]
        known[bits] = tuple(math.sqrt(a * b) for a, b in zip(low, high, strict=True))  # type: ignore[assignment]
    rows = [known.get(bits, (math.nan, math.nan, math.nan)) for bits in ADC_BITS]
    return Adc(tuple(row[0] for row in rows), tuple(row[1] for row in rows), tuple(row[2] for row in rows))


ISAAC_ADC = Adc(_ISAAC_ENERGY_PJ, _ISAAC_AREA_UM2, (_ISAAC_RATE_GS,) * len(ADC_BITS))
"""ISAAC: 2 mW, 1200 µm² at 8 bits, 1.28 GS/s."""
MNSIM_ADC = _mnsim()
"""MNSIM-2.0: 8 b 2 mW 1.28 GS/s 1200 µm²; 6 b 1.26 mW 1 GS/s 580–1650 µm² (their geometric mean); 4 b 0.7 mW 1 GS/s."""
NEUROSIM_ADC = Adc(
    tuple(neurosim_power_w(bits) * neurosim_time_ns(bits) * 1e3 for bits in ADC_BITS),
    _ISAAC_AREA_UM2,
    tuple(1 / neurosim_time_ns(bits) for bits in ADC_BITS),
)
"""NeuroSim's SAR converter. Its area follows from a layout and has no closed form here: ISAAC's is taken."""
