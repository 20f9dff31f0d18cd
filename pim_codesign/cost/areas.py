"""Areas of a chip's parts, and what leaks when nothing switches; [P, 1] each."""

from pim_codesign.circuits import isaac
from pim_codesign.circuits.periphery import (
    ADCS_PER_SHIFT_ADD,
    DIGITAL_CLOCK_GHZ,
    LEAKAGE_FRACTION,
    MAC_AREA_MM2,
    MAC_ENERGY_PJ,
    MAC_LANES_PER_VECTOR_ALU,
    SAMPLE_HOLD_AREA_UM2,
    SHIFT_ADD_AREA_UM2,
    SIGMOID_LUT_AREA_MM2,
    SIGMOID_LUT_POWER_MW,
    VECTOR_ALU_AREA_MM2,
    VECTOR_ALU_POWER_MW,
)
from pim_codesign.cost.columns import Floats, HardwareColumns, Integers
from pim_codesign.devices.cells import CELL_AREA_UM2
from pim_codesign.mapping.slicing import ceil_divide


def vector_alus(chip: HardwareColumns) -> Integers:
    """Vector ALUs, and look-up tables, of the digital logic. [P, 1]"""
    return chip.digital_lanes // MAC_LANES_PER_VECTOR_ALU


def _tiles(arrays: Floats, chip: HardwareColumns) -> Floats:
    """ISAAC's tile feeds 96 arrays of 128 rows; its buffers and network are provisioned by rows."""
    rows_per_tile = isaac.ARRAYS_PER_IMA * isaac.IMAS_PER_TILE * isaac.ARRAY_ROWS
    return ceil_divide(arrays * chip.array_rows, rows_per_tile)


def _imas(arrays: Floats, chip: HardwareColumns) -> Floats:
    """Input and output registers in units of an IMA's, by rows."""
    return arrays * chip.array_rows / (isaac.ARRAYS_PER_IMA * isaac.ARRAY_ROWS)


def areas_mm2(arrays: Floats, chip: HardwareColumns) -> dict[str, Floats]:
    """Areas by part, [P, 1]. The two arrays of a differential pair share their converters."""
    rows, columns = chip.array_rows, chip.array_rows + chip.unit_columns
    adcs = arrays / chip.polarities * ceil_divide(rows, chip.columns_per_adc)
    units = vector_alus(chip)
    parts = {
        "cells": arrays * rows * columns * CELL_AREA_UM2 * 1e-6,
        "dac": arrays * rows * chip.dac_um2 * 1e-6,
        "sample_hold": arrays * columns * SAMPLE_HOLD_AREA_UM2 * 1e-6,
        "adc": adcs * chip.adc_area_um2 * 1e-6,
        "shift_add": ceil_divide(adcs, ADCS_PER_SHIFT_ADD) * SHIFT_ADD_AREA_UM2 * 1e-6,
        "registers": _imas(arrays, chip) * isaac.area_mm2(isaac.IMA_REGISTERS),
        "tiles": _tiles(arrays, chip) * isaac.area_mm2(isaac.TILE_BUFFERS),
        "digital": chip.digital_lanes * MAC_AREA_MM2 + units * (VECTOR_ALU_AREA_MM2 + SIGMOID_LUT_AREA_MM2),
    }
    return {name: area * chip.area_scale for name, area in parts.items()}


def leakage_mw(arrays: Floats, chip: HardwareColumns) -> Floats:
    """Power that flows when nothing switches, mW. [P, 1]"""
    digital_mw = chip.digital_lanes * MAC_ENERGY_PJ * DIGITAL_CLOCK_GHZ
    digital_mw = digital_mw + vector_alus(chip) * (VECTOR_ALU_POWER_MW + SIGMOID_LUT_POWER_MW)
    buffers_mw = _tiles(arrays, chip) * isaac.power_mw(isaac.TILE_BUFFERS)
    registers_mw = _imas(arrays, chip) * isaac.power_mw(isaac.IMA_REGISTERS)
    return LEAKAGE_FRACTION * chip.energy_scale * (digital_mw + buffers_mw + registers_mw)
