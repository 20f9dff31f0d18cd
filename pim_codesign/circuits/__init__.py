"""The circuits around the cells: converters, buffers, networks, digital logic; values at 32 nm, with sources."""

from pim_codesign.circuits.adc import ADC_BITS, ISAAC_ADC, MNSIM_ADC, NEUROSIM_ADC, Adc
from pim_codesign.circuits.scaling import NODES_NM, area_scale, energy_scale

__all__ = [
    "ADC_BITS",
    "ISAAC_ADC",
    "MNSIM_ADC",
    "NEUROSIM_ADC",
    "NODES_NM",
    "Adc",
    "area_scale",
    "energy_scale",
]
