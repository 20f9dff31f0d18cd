"""Matrices on crossbars: the counts of docs/reram.md for every point and stage at once, their time and energy.

P points, T stages; V input vectors, I inputs, O outputs; S slices, B cycles, K and M row and column blocks, π
polarities.
"""

from dataclasses import dataclass

import numpy

from pim_codesign.circuits import ADC_BITS
from pim_codesign.circuits.periphery import SAMPLE_HOLD_POWER_UW, SHIFT_ADD_ENERGY_PJ
from pim_codesign.cost.columns import Floats, HardwareColumns, Integers
from pim_codesign.mapping.slicing import (
    ceil_divide,
    column_blocks,
    input_cycles,
    lossless_adc_bits,
    row_blocks,
    slices,
)

PIPELINE_CYCLES = 3
"""Cycles that a matrix takes beside its input cycles: fetch, convert, shift-and-add (ISAAC, section 6)."""


@dataclass(frozen=True)
class CrossbarCounts:
    """What matrices occupy and do on crossbars, each [P, T]; a stage without a matrix has zeros."""

    arrays: Integers
    """Arrays X = K·M·π·dup."""
    used_cells: Integers
    """Cells that hold a weight: I·O·S·π·dup."""
    conversions: Integers
    """Analog-to-digital conversions N = V·B·K·O·S per sample."""
    row_cycles: Integers
    """Rows driven, times cycles: V·B·I·M·π per sample."""
    cell_cycles: Integers
    """Cells read, times cycles: V·B·I·O·S·π per sample."""
    cycles: Integers
    """Cycles per sample: ⌈V/dup⌉·B + 3, or 0."""
    adc_bits: Integers
    """Bits of a conversion."""

    def energies_pj(self, chip: HardwareColumns, count: Integers | int = 1) -> dict[str, Floats]:
        """Energy per sample by part, pJ, [P], when matrix t is used `count`[t] times."""
        cmos = chip.energy_scale
        parts = {
            "adc": self.conversions * chip.adc_energy_pj(self.adc_bits) * cmos,
            "sample_hold": self.conversions * SAMPLE_HOLD_POWER_UW * chip.read_ns * 1e-3 * cmos,
            "shift_add": self.conversions * SHIFT_ADD_ENERGY_PJ * cmos,
            "dac": self.row_cycles * chip.dac_pj * cmos,
            "cells": self.cell_cycles * chip.cell_pj,
        }
        return {name: (energy * count).sum(axis=1) for name, energy in parts.items()}


def cycle_ns(chip: HardwareColumns) -> Floats:
    """T_c = max(t_read, m/f_adc), ns: a converter reads all of its m columns within one cycle. [P, 1]"""
    return numpy.maximum(chip.read_ns, chip.columns_per_adc / chip.adc_rate_gs)


def lay_out(
    vectors: Integers,
    inputs: Integers,
    outputs: Integers,
    weight_bits: Integers,
    activation_bits: Integers,
    dup: Integers,
    chip: HardwareColumns,
) -> CrossbarCounts:
    """Lay matrices on crossbars. Arguments broadcast to [P, T]."""
    pi = chip.polarities
    s = slices(weight_bits, chip.cell_bits, pi == 2)
    b = input_cycles(activation_bits, chip.dac_bits)
    k = row_blocks(inputs, chip.array_rows)
    m = column_blocks(outputs, s, chip.array_rows)
    own_rows = numpy.minimum(numpy.maximum(inputs, 1), chip.array_rows)
    needed = lossless_adc_bits(own_rows, chip.cell_bits, chip.dac_bits, chip.flip_encoding)
    stopped = numpy.clip(needed, ADC_BITS[0], chip.adc_bits)
    return CrossbarCounts(
        arrays=k * m * pi * dup,
        used_cells=inputs * outputs * s * pi * dup,
        conversions=vectors * b * k * outputs * s,
        row_cycles=vectors * b * inputs * m * pi,
        cell_cycles=vectors * b * inputs * outputs * s * pi,
        cycles=(ceil_divide(vectors, dup) * b + PIPELINE_CYCLES) * (vectors > 0),
        adc_bits=numpy.where(chip.adc_per_operator, stopped, chip.adc_bits),
    )
