"""`evaluate`: the cost of a mapped workload on a chip; `evaluate_many`: the costs of a whole population at once.

The equations are those of docs/reram.md. P points, T stages, Q products of computed operands. Times are in ns and
energies in pJ inside; µs and nJ outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from pim_codesign.circuits import isaac
from pim_codesign.circuits.periphery import (
    ADCS_PER_SHIFT_ADD,
    BUS_PJ_PER_BIT,
    DIGITAL_CLOCK_GHZ,
    EDRAM_PJ_PER_BIT,
    LEAKAGE_FRACTION,
    MAC_AREA_MM2,
    MAC_ENERGY_PJ,
    MAC_LANES_PER_VECTOR_ALU,
    ROUTER_PJ_PER_BIT,
    SAMPLE_HOLD_AREA_UM2,
    SHIFT_ADD_AREA_UM2,
    SIGMOID_LUT_AREA_MM2,
    SIGMOID_LUT_POWER_MW,
    VECTOR_ALU_AREA_MM2,
    VECTOR_ALU_POWER_MW,
)
from pim_codesign.cost.columns import Booleans, Floats, HardwareColumns, Integers, MappingColumns
from pim_codesign.cost.crossbars import CrossbarCounts, cycle_ns, lay_out
from pim_codesign.cost.embeddings import lookup_cost
from pim_codesign.devices.cells import CELL_AREA_UM2, WRITE_ENERGY_PJ, WRITE_TIME_NS
from pim_codesign.hardware import Hardware
from pim_codesign.mapping.mapping import Mapping
from pim_codesign.mapping.slicing import ceil_divide, lossless_adc_bits
from pim_codesign.mapping.workload import Workload


@dataclass(frozen=True)
class Cost:
    """What one sample costs, and how large and busy the chip is."""

    latency_us: float
    """Latency of one sample: the longest path through the graph, µs."""
    throughput_per_s: float
    """Samples per second when samples follow each other: one over the time of the slowest stage."""
    energy_nj: float
    """Energy per sample when the chip is kept busy, nJ: `power_w` over `throughput_per_s`."""
    area_mm2: float
    """Area of the chip without the embedding tables, mm²."""
    embedding_area_mm2: float
    """Area of the embedding tables, mm²; 0 in DRAM."""
    power_w: float
    """Power at full throughput, W."""
    utilization: float
    """Share of the arrays' cells that hold a weight, 0 to 1."""
    arrays: int
    """Crossbars, replication included."""
    conversions: int
    """Analog-to-digital conversions per sample."""
    lossless: bool
    """Whether no converter ever clips; where False, accuracy measured by quantization alone is optimistic."""
    energy_breakdown_nj: dict[str, float]
    """`energy_nj` by part, nJ."""
    area_breakdown_mm2: dict[str, float]
    """`area_mm2` by part, mm²."""


@dataclass(frozen=True)
class CostTable:
    """The costs of P points, each field [P] as in `Cost`."""

    latency_us: Floats
    throughput_per_s: Floats
    energy_nj: Floats
    area_mm2: Floats
    embedding_area_mm2: Floats
    power_w: Floats
    utilization: Floats
    arrays: Integers
    conversions: Integers
    lossless: Booleans
    energy_breakdown_nj: dict[str, Floats]
    area_breakdown_mm2: dict[str, Floats]

    def row(self, point: int) -> Cost:
        """One point's cost as plain numbers."""
        values: dict[str, Any] = {
            name: {part: value[point].item() for part, value in column.items()}
            if isinstance(column, dict)
            else column[point].item()
            for name, column in vars(self).items()
        }
        return Cost(**values)


def evaluate(workload: Workload, hardware: Hardware, mapping: Mapping | None = None) -> Cost:
    """Cost of a workload on a chip; without a mapping, of the naive one (8 bits, no replication).

    Raises ValueError for a mapping of another number of operators, and for what is no workload, chip or mapping.

    >>> from pim_codesign.mapping.workload import Embeddings, Stage
    >>> layer = Stage("layer", "layer", (), vectors=1, inputs=512, outputs=512)
    >>> cost = evaluate(Workload((Stage("embeddings", "", ()), layer), Embeddings(1, 1)), Hardware())
    >>> cost.arrays, cost.conversions, cost.lossless
    (64, 65536, True)
    """
    _check_workload(workload)
    return evaluate_many(workload, [Mapping.uniform(workload) if mapping is None else mapping], [hardware]).row(0)


def evaluate_many(workload: Workload, mappings: Sequence[Mapping], hardwares: Sequence[Hardware]) -> CostTable:
    """Costs of P pairs of a mapping and a chip; at least one pair, else ValueError."""
    _check_workload(workload)
    if len(mappings) != len(hardwares) or not mappings:
        raise ValueError(
            f"{len(mappings)} mappings and {len(hardwares)} chips; give one chip for each mapping, at least one"
        )
    for chip in hardwares:
        if not isinstance(chip, Hardware):
            raise ValueError(f"the chip is {chip!r}; give a Hardware, for example PRESETS['isaac32']")
    return evaluate_columns(workload, MappingColumns.of(workload, mappings), HardwareColumns(hardwares))


def _check_workload(workload: Workload) -> None:
    if not isinstance(workload, Workload):
        raise ValueError(f"the workload is {workload!r}; give a Workload, as workload_of_subnet makes")


def evaluate_columns(workload: Workload, mapping: MappingColumns, chip: HardwareColumns) -> CostTable:
    """The same from columns."""
    work = workload.columns
    static = lay_out(
        work.vectors, work.inputs, work.outputs, mapping.weight_bits, mapping.activation_bits, mapping.dup, chip
    )
    scratch = _Scratch(workload, mapping, chip)
    macs = work.products + work.computed_products * ~chip.scratch
    digital_ns = _digital_ns(macs, work.vector_operations, work.lookups, chip)  # [P, T]
    lookup = lookup_cost(workload.embeddings, chip)

    stage_ns = static.cycles * cycle_ns(chip) + digital_ns + scratch.stage_ns
    stage_ns[:, 0] += lookup.time_ns
    latency_ns = _longest_path(workload, stage_ns)
    # All stages share the digital logic, so in the pipeline it is one more stage, busy with all of their digital work.
    slowest_ns = numpy.maximum(stage_ns.max(axis=1), digital_ns.sum(axis=1))

    arrays = static.arrays.sum(axis=1) + scratch.arrays
    pairs = arrays[:, None] // chip.polarities  # [P, 1]
    areas = _areas_mm2(arrays[:, None], pairs, chip)
    energies = static.energies_pj(chip) | {
        **_traffic_pj(workload, mapping, chip),
        "digital_macs": (macs * MAC_ENERGY_PJ * chip.energy_scale).sum(axis=1),
        "vector_alu": (work.vector_operations * VECTOR_ALU_POWER_MW * chip.energy_scale).sum(axis=1),
        "lookup_tables": (work.lookups * SIGMOID_LUT_POWER_MW * chip.energy_scale).sum(axis=1),
        "embeddings": lookup.energy_pj,
        "scratch_crossbars": scratch.energy_pj,
    }
    dynamic_pj = sum(energies.values())
    leakage_mw = _leakage_mw(arrays[:, None], chip)
    # A sample is charged for the time until the next one enters, so that energy · throughput = power. mW · ns = pJ
    energies["leakage"] = leakage_mw * slowest_ns
    used = static.used_cells.sum(axis=1) + scratch.used_cells
    needed = lossless_adc_bits(chip.array_rows, chip.cell_bits, chip.dac_bits, chip.flip_encoding)
    return CostTable(
        latency_us=latency_ns * 1e-3,
        throughput_per_s=1e9 / slowest_ns,
        energy_nj=(dynamic_pj + energies["leakage"]) * 1e-3,
        area_mm2=numpy.asarray(sum(areas.values())),
        embedding_area_mm2=lookup.area_mm2,
        power_w=(dynamic_pj / slowest_ns + leakage_mw) * 1e-3,
        utilization=used / numpy.maximum(arrays * chip.array_rows[:, 0] ** 2, 1),
        arrays=arrays,
        conversions=static.conversions.sum(axis=1) + scratch.conversions,
        lossless=(needed <= chip.adc_bits)[:, 0],
        energy_breakdown_nj={name: energy * 1e-3 for name, energy in energies.items()},
        area_breakdown_mm2=areas,
    )


class _Scratch:
    """Products of computed operands on crossbars that are written for each sample; zeros where MAC lanes make them.

    One operand is written as if it were weights of the stage's activation bits, row by row, all columns at once.
    """

    def __init__(self, workload: Workload, mapping: MappingColumns, chip: HardwareColumns) -> None:
        work = workload.columns
        bits = mapping.activation_bits[:, work.computed_stage]  # [P, Q]
        laid: CrossbarCounts = lay_out(
            work.computed_vectors, work.computed_rows, work.computed_columns, bits, bits, numpy.ones_like(bits), chip
        )
        here, count = chip.scratch[:, 0], work.computed_count
        row_writes_ns = numpy.minimum(work.computed_rows, chip.array_rows) * WRITE_TIME_NS
        product_ns = (laid.cycles * cycle_ns(chip) + row_writes_ns) * chip.scratch
        of_stage = work.computed_stage[:, None] == numpy.arange(len(workload.stages))  # [Q, T]
        self.stage_ns = product_ns @ of_stage
        self.arrays = (laid.arrays * count).sum(axis=1) * here
        self.conversions = (laid.conversions * count).sum(axis=1) * here
        self.used_cells = (laid.used_cells * count).sum(axis=1) * here
        read_pj = sum(laid.energies_pj(chip, count).values())
        written_pj = (laid.used_cells * count).sum(axis=1) * WRITE_ENERGY_PJ
        self.energy_pj = (read_pj + written_pj) * here


def _longest_path(workload: Workload, stage_ns: Floats) -> Floats:
    """When the last stage ends: each starts when all that it waits for have ended. [P, T] -> [P]"""
    end = numpy.zeros_like(stage_ns)
    for index, stage in enumerate(workload.stages):
        start = end[:, stage.depends].max(axis=1) if stage.depends else 0.0
        end[:, index] = start + stage_ns[:, index]
    return end.max(axis=1)


def _vector_alus(chip: HardwareColumns) -> Integers:
    return chip.digital_lanes // MAC_LANES_PER_VECTOR_ALU


def _digital_ns(macs: Integers, operations: Integers, lookups: Integers, chip: HardwareColumns) -> Floats:
    units = _vector_alus(chip)
    cycles = ceil_divide(macs, chip.digital_lanes) + ceil_divide(operations, units) + ceil_divide(lookups, units)
    return cycles / DIGITAL_CLOCK_GHZ


def _traffic_pj(workload: Workload, mapping: MappingColumns, chip: HardwareColumns) -> dict[str, Floats]:
    """Every input vector is fetched once and every output vector stored once, at the operator's activation bits."""
    work = workload.columns
    bits = (work.vectors * (work.inputs + work.outputs) * mapping.activation_bits).sum(axis=1) * chip.energy_scale[:, 0]
    return {"buffer": bits * EDRAM_PJ_PER_BIT, "bus": bits * BUS_PJ_PER_BIT, "router": bits * ROUTER_PJ_PER_BIT}


def _tiles(arrays: Integers, chip: HardwareColumns) -> Integers:
    """ISAAC's tile feeds 96 arrays of 128 rows; its buffers and network are provisioned by rows."""
    rows_per_tile = isaac.ARRAYS_PER_IMA * isaac.IMAS_PER_TILE * isaac.ARRAY_ROWS
    return ceil_divide(arrays * chip.array_rows, rows_per_tile)


def _imas(arrays: Integers, chip: HardwareColumns) -> Floats:
    """Input and output registers in units of an IMA's, by rows."""
    return arrays * chip.array_rows / (isaac.ARRAYS_PER_IMA * isaac.ARRAY_ROWS)


def _areas_mm2(arrays: Integers, pairs: Integers, chip: HardwareColumns) -> dict[str, Floats]:
    """Areas by part, [P]. The two arrays of a differential pair share their converters: `pairs` counts them once."""
    rows = chip.array_rows
    adcs = pairs * ceil_divide(rows, chip.columns_per_adc)
    units = _vector_alus(chip)
    parts = {
        "cells": arrays * rows**2 * CELL_AREA_UM2 * 1e-6,
        "dac": arrays * rows * chip.dac_um2 * 1e-6,
        "sample_hold": arrays * rows * SAMPLE_HOLD_AREA_UM2 * 1e-6,
        "adc": adcs * chip.adc_area_um2 * 1e-6,
        "shift_add": ceil_divide(adcs, ADCS_PER_SHIFT_ADD) * SHIFT_ADD_AREA_UM2 * 1e-6,
        "registers": _imas(arrays, chip) * isaac.area_mm2(isaac.IMA_REGISTERS),
        "tiles": _tiles(arrays, chip) * isaac.area_mm2(isaac.TILE_BUFFERS),
        "digital": chip.digital_lanes * MAC_AREA_MM2 + units * (VECTOR_ALU_AREA_MM2 + SIGMOID_LUT_AREA_MM2),
    }
    return {name: (area * chip.area_scale)[:, 0] for name, area in parts.items()}


def _leakage_mw(arrays: Integers, chip: HardwareColumns) -> Floats:
    digital_mw = chip.digital_lanes * MAC_ENERGY_PJ * DIGITAL_CLOCK_GHZ
    digital_mw = digital_mw + _vector_alus(chip) * (VECTOR_ALU_POWER_MW + SIGMOID_LUT_POWER_MW)
    buffers_mw = _tiles(arrays, chip) * isaac.power_mw(isaac.TILE_BUFFERS)
    registers_mw = _imas(arrays, chip) * isaac.power_mw(isaac.IMA_REGISTERS)
    return (LEAKAGE_FRACTION * chip.energy_scale * (digital_mw + buffers_mw + registers_mw))[:, 0]
