"""`evaluate`: the cost of a mapped workload on a chip; `evaluate_many`: the costs of a whole population at once.

The equations are those of docs/reram.md. P points, T stages, Q products of computed operands. Times are in ns and
energies in pJ inside; µs and nJ outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy

from pim_codesign.circuits.periphery import (
    BUS_PJ_PER_BIT,
    DIGITAL_CLOCK_GHZ,
    EDRAM_PJ_PER_BIT,
    MAC_ENERGY_PJ,
    ROUTER_PJ_PER_BIT,
    SIGMOID_LUT_POWER_MW,
    VECTOR_ALU_POWER_MW,
)
from pim_codesign.cost.areas import areas_mm2, leakage_mw, vector_alus
from pim_codesign.cost.columns import Booleans, Floats, HardwareColumns, Integers, MappingColumns
from pim_codesign.cost.crossbars import lay_out
from pim_codesign.cost.embeddings import lookup_cost
from pim_codesign.cost.latency import shared_latency_ns
from pim_codesign.cost.scratch import Scratch, lifetime_days
from pim_codesign.hardware import Hardware
from pim_codesign.mapping.mapping import Mapping
from pim_codesign.mapping.slicing import lossless_adc_bits
from pim_codesign.mapping.workload import Workload


@dataclass(frozen=True)
class Cost:
    """What one sample costs, and how large and busy the chip is."""

    latency_us: float
    """Latency of one sample, µs: parallel branches overlap, but share the digital logic."""
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
    lifetime_days: float
    """Days at full throughput until the cells of scratch crossbars, written once per sample, reach their endurance;
    infinite without scratch crossbars."""
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
    lifetime_days: Floats
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
    (64, 66048, True)
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
    work = Work(workload, mapping, chip)
    static, scratch = work.static.summed(), work.scratch
    # All stages share the digital logic, so in the pipeline it is one more stage, busy with all of their digital work.
    slowest_ns = numpy.maximum(work.stage_ns.max(axis=1), work.digital_ns.sum(axis=1))
    scratch_arrays = scratch.arrays_of.sum(axis=1)
    arrays = static.arrays + scratch_arrays[:, None]  # [P, 1]
    areas = {name: area[:, 0] for name, area in areas_mm2(arrays, chip).items()}
    energies = {name: energy[:, 0] for name, energy in (static.energies_pj(chip) | work.digital_pj(sums=True)).items()}
    energies |= {"embeddings": work.lookup.energy_pj, "scratch_crossbars": scratch.energy_pj_of.sum(axis=1)}
    dynamic_pj = sum(energies.values())
    leaking_mw = leakage_mw(arrays, chip)[:, 0]
    # A sample is charged for the time until the next one enters, so that energy · throughput = power. mW · ns = pJ
    energies["leakage"] = leaking_mw * slowest_ns
    used = static.used_cells[:, 0] + scratch.used_cells_of.sum(axis=1)
    needed = lossless_adc_bits(chip.array_rows, chip.cell_bits, chip.dac_bits, chip.flip_encoding)
    throughput = 1e9 / slowest_ns
    conversions = static.conversions[:, 0] + scratch.conversions_of.sum(axis=1)
    return CostTable(
        latency_us=shared_latency_ns(workload, work.crossbar_ns, work.digital_ns) * 1e-3,
        throughput_per_s=throughput,
        energy_nj=(dynamic_pj + energies["leakage"]) * 1e-3,
        area_mm2=numpy.asarray(sum(areas.values())),
        embedding_area_mm2=work.lookup.area_mm2,
        power_w=(dynamic_pj / slowest_ns + leaking_mw) * 1e-3,
        utilization=used / numpy.maximum(arrays * chip.array_rows**2, 1)[:, 0],
        arrays=arrays[:, 0].astype(numpy.int64),
        conversions=conversions.astype(numpy.int64),
        lossless=(needed <= chip.adc_bits)[:, 0],
        lifetime_days=lifetime_days(scratch_arrays, throughput, chip),
        energy_breakdown_nj={name: energy * 1e-3 for name, energy in energies.items()},
        area_breakdown_mm2=areas,
    )


class Work:
    """What each stage does at each point, [P, T]: what totals are summed from, and breakdowns by operator."""

    def __init__(self, workload: Workload, mapping: MappingColumns, chip: HardwareColumns) -> None:
        work = workload.columns
        self.columns, self.mapping, self.chip = work, mapping, chip
        self.static = lay_out(
            work.vectors, work.inputs, work.outputs, mapping.weight_bits, mapping.activation_bits, mapping.dup, chip
        )
        self.scratch = Scratch(workload, mapping, chip)
        self.lookup = lookup_cost(workload.embeddings, chip)
        self.digital_ns = self._digital_ns()
        self.crossbar_ns = self.static.crossbar_ns + self.scratch.stage_ns
        self.crossbar_ns[:, 0] += self.lookup.time_ns

    @cached_property
    def stage_ns(self) -> Floats:
        """Time of each stage with the digital logic to itself."""
        return self.crossbar_ns + self.digital_ns

    def digital_pj(self, sums: bool) -> dict[str, Floats]:
        """Energy of the digital logic, and of the numbers that are fetched and stored at the operator's activation
        bits: per stage [P, T], or their `sums` [P, 1]."""
        work, chip = self.columns, self.chip
        on_lanes = 1 - self.scratch.here  # [P, 1]

        def total(numbers: Floats) -> Floats:
            return numbers.sum(axis=1, keepdims=True) if sums else numbers

        if sums:
            bits = self.mapping.activation_bits @ work.moved.T
        else:
            bits = self.mapping.activation_bits * work.moved
        moved = bits * chip.energy_scale
        macs = total(work.products) + total(work.computed_products) * on_lanes
        return {
            "buffer": moved * EDRAM_PJ_PER_BIT,
            "bus": moved * BUS_PJ_PER_BIT,
            "router": moved * ROUTER_PJ_PER_BIT,
            "digital_macs": macs * MAC_ENERGY_PJ * chip.energy_scale,
            "vector_alu": total(work.vector_operations) * VECTOR_ALU_POWER_MW * chip.energy_scale,
            "lookup_tables": total(work.lookups) * SIGMOID_LUT_POWER_MW * chip.energy_scale,
        }

    def _digital_ns(self) -> Floats:
        """Cycles of lanes, ALUs and tables, one after the other; computed as [T, P], as `lay_out` is."""
        work, lanes = self.columns, self.chip.digital_lanes.T.astype(numpy.float64)
        units = vector_alus(self.chip).T.astype(numpy.float64)
        cycles = numpy.ceil((work.products.T + work.computed_products.T * (1 - self.scratch.here.T)) / lanes)
        cycles += numpy.ceil(work.vector_operations.T / units)
        cycles += numpy.ceil(work.lookups.T / units)
        return cycles.T / DIGITAL_CLOCK_GHZ
