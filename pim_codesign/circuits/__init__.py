"""The circuits around the cells: converters, buffers, networks, digital logic; values at 32 nm with their sources."""

from pim_codesign.circuits.adc import ADC_BITS, ISAAC_ADC, MNSIM_ADC, NEUROSIM_ADC, Adc, AdcBits
from pim_codesign.circuits.scaling import NODES_NM, NodeNm, area_scale, energy_scale

__all__ = [
    "ADC_BITS",
    "ISAAC_ADC",
    "MNSIM_ADC",
    "NEUROSIM_ADC",
    "NODES_NM",
    "Adc",
    "AdcBits",
    "NodeNm",
    "area_scale",
    "energy_scale",
]
