"""Matrices on crossbars: the counts of docs/reram.md for every point and stage at once, their time and energy.

P points, T stages; V input vectors, I inputs, O outputs; S slices, B cycles, K and M row and column blocks, π
polarities. Counts are held as float64, in which they are exact up to 2^53.
"""

from dataclasses import dataclass

import numpy

from pim_codesign.circuits.periphery import (
    BUS_BITS_PER_NS,
    INPUT_REGISTER_PJ_PER_BIT,
    OUTPUT_REGISTER_PJ,
    SAMPLE_HOLD_POWER_UW,
    SHIFT_ADD_ENERGY_PJ,
)
from pim_codesign.cost.columns import Floats, HardwareColumns
from pim_codesign.mapping.slicing import sum_bits

PIPELINE_CYCLES = 3
"""Cycles that a matrix takes beside its input cycles: fetch, convert, shift-and-add (ISAAC, section 6)."""


@dataclass(frozen=True)
class CrossbarCounts:
    """What matrices occupy and do on crossbars, each [P, T]; a stage without a matrix has zeros."""

    arrays: Floats
    """Arrays X = K·M·π·dup."""
    used_cells: Floats
    """Cells that hold a weight: I·O·S·π·dup."""
    conversions: Floats
    """Analog-to-digital conversions per sample: N = V·B·K·(O·S + M·u), u the unit columns of offset coding."""
    full_conversions: Floats
    """The same in conversions to all of the converter's bits: one that stops after b′ of b bits is (b′ + 1)/(b + 1)."""
    row_cycles: Floats
    """Rows driven, times cycles: V·B·I·M·π per sample."""
    cell_cycles: Floats
    """Cells read, times cycles: V·B·I·(O·S·π + M·u) per sample."""
    crossbar_ns: Floats
    """Time per sample, ns, transfers over the tile's bus included; 0 without a matrix."""

    def summed(self) -> "CrossbarCounts":
        """Sums over the stages, each [P, 1]."""
        return CrossbarCounts(*(column.sum(axis=1, keepdims=True) for column in vars(self).values()))

    def energies_pj(self, chip: HardwareColumns) -> dict[str, Floats]:
        """Energy per sample by part, pJ; each shaped as the counts are."""
        cmos = chip.energy_scale
        return {
            "adc": self.full_conversions * (chip.adc_energy_pj * cmos),
            "sample_hold": self.conversions * (SAMPLE_HOLD_POWER_UW * chip.read_ns * 1e-3 * cmos),
            "shift_add": self.conversions * (SHIFT_ADD_ENERGY_PJ * cmos),
            "dac": self.row_cycles * (chip.dac_pj * cmos),
            "registers": self.row_cycles * (INPUT_REGISTER_PJ_PER_BIT * chip.dac_bits * cmos)
            + self.conversions * (OUTPUT_REGISTER_PJ * cmos),
            "cells": self.cell_cycles * chip.cell_pj,
        }


def conversion_share(stopped_bits: Floats, chip: HardwareColumns) -> Floats:
    """Time, and energy, of a conversion that stops after b′ bits, over one to all b bits: (b′ + 1)/(b + 1).

    A SAR converter samples for one cycle and makes one comparison per bit, and NeuroSim (SarADC.cpp) charges its power
    for b + 1 of them. The capacitors of the first comparisons are the largest, so of a converter whose energy is theirs
    the first bits take more than this share. [P, T]
    """
    return (stopped_bits + 1) / (chip.adc_bits + 1)


def cycle_ns(chip: HardwareColumns) -> Floats:
    """T_c = max(t_read, m/f_adc), ns: a converter reads all of its m columns within one cycle. [P, 1]"""
    return numpy.maximum(chip.read_ns, chip.columns_per_adc / chip.adc_rate_gs)


def lay_out(
    vectors: Floats,
    inputs: Floats,
    outputs: Floats,
    weight_bits: Floats,
    activation_bits: Floats,
    dup: Floats,
    chip: HardwareColumns,
) -> CrossbarCounts:
    """Lay matrices on crossbars. Arguments broadcast to [P, T].

    Divisions are of whole numbers far below 2^53, so that rounding them up is exact.
    """
    # Computed as [T, P], so that each step runs along memory over the points, and as float64 from the start: a cast of
    # [1, P] is cheap, one inside each operation on [T, P] is not.
    v, i, o, w, a, copies = (
        numpy.asarray(column, dtype=numpy.float64).T
        for column in (vectors, inputs, outputs, weight_bits, activation_bits, dup)
    )
    pi, rows, cell_bits, dac_bits, units = (
        column.T.astype(numpy.float64)
        for column in (chip.polarities, chip.array_rows, chip.cell_bits, chip.dac_bits, chip.unit_columns)
    )
    cells = o * numpy.ceil((w - (pi - 1)) / cell_bits)  # O·S
    b = numpy.ceil(a / dac_bits)
    k = numpy.ceil(i / rows)
    m = numpy.ceil(cells / rows)
    shows = v * b
    driven = shows * i
    unit = units * m
    conversions = shows * k * (cells + unit)
    share: Floats | float = 1.0
    if chip.adc_per_operator.any():
        share = _stopped_share(i, rows, chip)
    signed = pi * copies
    found = CrossbarCounts(
        arrays=k * m * signed,
        used_cells=i * cells * signed,
        conversions=conversions,
        full_conversions=conversions * share,
        row_cycles=driven * m * pi,
        cell_cycles=driven * (cells * pi + unit),
        crossbar_ns=_time_ns(v, i + o, a, b, copies, share, chip),
    )
    return CrossbarCounts(*(column.T for column in vars(found).values()))


def _stopped_share(inputs: Floats, rows: Floats, chip: HardwareColumns) -> Floats:
    """`conversion_share` of the bits that each matrix's own rows need; 1 where the chip's converters never stop.

    [T, 1] inputs and [1, P] rows -> [T, P]
    """
    largest = (2.0**chip.cell_bits - 1) * (2.0**chip.dac_bits - 1)  # sum of a row, [P, 1]
    flipped, bits = chip.flip_encoding.T, chip.adc_bits.T.astype(numpy.float64)
    own_rows = numpy.minimum(numpy.maximum(inputs, 1), rows)
    needed = sum_bits(own_rows * largest.T) - flipped
    stopped = numpy.where(chip.adc_per_operator.T, numpy.clip(needed, 1, bits), bits)
    return conversion_share(stopped.T, chip).T


def _time_ns(
    vectors: Floats,
    numbers: Floats,
    activation_bits: Floats,
    cycles: Floats,
    dup: Floats,
    share: Floats | float,
    chip: HardwareColumns,
) -> Floats:
    """⌈V/dup⌉ passes of B cycles, each at least as long as its vectors' way over the tile's bus, and the pipeline.

    A pass moves one vector of inputs and outputs for each copy, and each copy has a tile's bus to itself; the next
    pass's inputs arrive meanwhile, so that the bus shows only where it is the slower one, and in the first fetch.
    """
    cycle = numpy.maximum(chip.read_ns.T, (chip.columns_per_adc / chip.adc_rate_gs).T * share)
    bus = numpy.ceil(numbers * activation_bits / BUS_BITS_PER_NS)
    passes = numpy.ceil(vectors / dup)
    filling = (PIPELINE_CYCLES - 1) * cycle + numpy.maximum(cycle, bus)
    return (passes * numpy.maximum(cycles * cycle, bus) + filling) * (vectors > 0)
