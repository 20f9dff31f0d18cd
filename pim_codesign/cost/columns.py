"""Mappings and chips as numpy columns, so that a whole population is costed at once.

P points, T stages, n operators.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy
from numpy.typing import NDArray

from pim_codesign.circuits import ADC_BITS, area_scale, energy_scale
from pim_codesign.circuits.periphery import DAC_AREA_UM2, DAC_POWER_UW
from pim_codesign.hardware import TECHNOLOGIES, Hardware
from pim_codesign.mapping.mapping import Mapping
from pim_codesign.mapping.workload import Workload

Floats = NDArray[numpy.float64]
Integers = NDArray[numpy.int64]
Booleans = NDArray[numpy.bool_]
_DTYPES: dict[Any, type] = {Floats: numpy.float64, Integers: numpy.int64, Booleans: numpy.bool_}

_PRESET_NAMES = tuple(TECHNOLOGIES)
_ADC_ENERGY_PJ = numpy.array([TECHNOLOGIES[name].adc.energy_pj for name in _PRESET_NAMES])
_ADC_AREA_UM2 = numpy.array([TECHNOLOGIES[name].adc.area_um2 for name in _PRESET_NAMES])


@dataclass(frozen=True)
class MappingColumns:
    """Bits and replication of every stage."""

    weight_bits: Integers
    """[P, T]"""
    activation_bits: Integers
    """[P, T]"""
    dup: Integers
    """[P, T], already limited to the largest power of two in V."""

    @classmethod
    def of(cls, workload: Workload, mappings: Sequence[Mapping]) -> "MappingColumns":
        """Spread each mapping's operators over their stages."""
        for mapping in mappings:
            if len(mapping.operators) != len(workload.operators):
                raise ValueError(
                    f"the mapping has {len(mapping.operators)} operators, the workload {len(workload.operators)}"
                )
        numbers = numpy.array(
            [[(o.weight_bits, o.activation_bits, o.dup) for o in mapping.operators] for mapping in mappings],
            dtype=numpy.int64,
        ).reshape(len(mappings), len(workload.operators), 3)
        return cls.of_arrays(workload, numbers[..., 0], numbers[..., 1], numbers[..., 2])

    @classmethod
    def of_arrays(cls, workload: Workload, weight: Integers, activation: Integers, dup: Integers) -> "MappingColumns":
        """The same from arrays [P, n]."""
        columns = workload.columns
        eight = numpy.full((len(weight), 1), 8, dtype=numpy.int64)
        spread = [numpy.hstack([bits, eight])[:, columns.operator] for bits in (weight, activation)]
        copies = numpy.hstack([dup, numpy.ones_like(eight)])[:, columns.operator]
        # largest power of two in V; a stage without a matrix has one "copy"
        limit = 2 ** (numpy.frexp(numpy.maximum(columns.vectors, 1).astype(numpy.float64))[1].astype(numpy.int64) - 1)
        return cls(spread[0], spread[1], numpy.minimum(copies, limit))


@lru_cache(maxsize=4096)
def _numbers(hardware: Hardware) -> tuple[float, ...]:
    """What the cost equations need of one chip, in the order of `HardwareColumns`."""
    cell, adc = hardware.technology.cell, hardware.technology.adc
    wider_dac = 2 ** (hardware.dac_bits - 1)
    return (
        _PRESET_NAMES.index(hardware.preset),
        hardware.array_rows,
        hardware.cell_bits,
        hardware.dac_bits,
        hardware.adc_bits,
        hardware.columns_per_adc,
        2 if hardware.sign_coding == "differential" else 1,
        hardware.flip_encoding,
        hardware.adc_per_operator,
        hardware.interaction_engine == "scratch_crossbar",
        hardware.digital_lanes,
        ("dram", "reram_memory", "in_crossbar").index(hardware.embeddings),
        cell.read_time_ns,
        cell.read_energy_fj * cell.activity * 1e-3,
        adc.rate_gs[ADC_BITS.index(hardware.adc_bits)],
        wider_dac * DAC_POWER_UW * cell.read_time_ns * 1e-3,
        wider_dac * DAC_AREA_UM2,
        area_scale(hardware.node_nm),
        energy_scale(hardware.node_nm),
    )


@dataclass(frozen=True)
class HardwareColumns:
    """One chip a point, each field [P, 1]. Energies and areas of parts are at 32 nm, before the node's scale."""

    preset: Integers
    array_rows: Integers
    cell_bits: Integers
    dac_bits: Integers
    adc_bits: Integers
    columns_per_adc: Integers
    polarities: Integers
    """π: 2 differential, 1 offset."""
    flip_encoding: Booleans
    adc_per_operator: Booleans
    scratch: Booleans
    digital_lanes: Integers
    embeddings: Integers
    """0 DRAM, 1 ReRAM as memory, 2 in crossbars."""
    read_ns: Floats
    cell_pj: Floats
    """ρ · e_cell"""
    adc_rate_gs: Floats
    dac_pj: Floats
    dac_um2: Floats
    area_scale: Floats
    energy_scale: Floats

    @classmethod
    def of(cls, hardwares: Sequence[Hardware]) -> "HardwareColumns":
        """Gather the chips' numbers."""
        table = numpy.array([_numbers(hardware) for hardware in hardwares], dtype=numpy.float64)
        columns: dict[str, Any] = {
            field.name: table[:, [index]].astype(_DTYPES[field.type]) for index, field in enumerate(fields(cls))
        }
        return cls(**columns)

    def adc_energy_pj(self, bits: Integers) -> Floats:
        """Energy of a conversion of `bits` [P, T] bits."""
        return _ADC_ENERGY_PJ[self.preset, bits - ADC_BITS[0]]

    @property
    def adc_area_um2(self) -> Floats:
        """Area of a converter. [P, 1]"""
        return _ADC_AREA_UM2[self.preset, self.adc_bits - ADC_BITS[0]]
