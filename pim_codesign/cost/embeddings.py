"""What looking up the embedding rows of a sample costs, by where the tables live. Their area is reported apart.

F rows of D numbers per sample, 8 bits per number; P points.
"""

from dataclasses import dataclass

import numpy

from pim_codesign.circuits.periphery import (
    BUS_PJ_PER_BIT,
    DRAM_ACCESS_NS,
    DRAM_BURST_BITS,
    DRAM_BURST_NS,
    DRAM_PJ_PER_BIT,
    ROUTER_PJ_PER_BIT,
    SAMPLE_HOLD_AREA_UM2,
    SHIFT_ADD_ENERGY_PJ,
)
from pim_codesign.cost.columns import Floats, HardwareColumns
from pim_codesign.cost.crossbars import PIPELINE_CYCLES, conversion_share, cycle_ns
from pim_codesign.devices.cells import CELL_AREA_UM2
from pim_codesign.hardware import EmbeddingPlace
from pim_codesign.mapping.slicing import ceil_divide, column_blocks, row_blocks, slices
from pim_codesign.mapping.workload import Embeddings

BITS = 8
"""Bits of a stored number."""
_PLACES: dict[EmbeddingPlace, int] = {"dram": 0, "reram_memory": 1, "in_crossbar": 2}
MEMORY_ARRAY_EFFICIENCY = 0.5
"""Cells' share of a ReRAM memory's area: this project's assumption, NVSim's optimized macros lie at 0.3 to 0.6."""


@dataclass(frozen=True)
class LookupCost:
    """Cost of a sample's lookups, and the area of the tables; each [P]."""

    energy_pj: Floats
    """Energy per sample, pJ."""
    time_ns: Floats
    """Time per sample, ns."""
    area_mm2: Floats
    """Area of all tables, mm²; 0 in DRAM."""


def lookup_cost(embeddings: Embeddings, chip: HardwareColumns) -> LookupCost:
    """Cost of one sample's lookups. The tables of the F fields lie in different banks or arrays, which are opened at
    once; what DRAM sends follows each other on one channel, a row of a table in bursts of 64 bytes."""
    groups = (embeddings, *embeddings.others)
    costs = [_of_one_width(group, chip) for group in groups]
    queued_ns = (sum(map(_bursts, groups)) - 1) * DRAM_BURST_NS
    in_dram = chip.by_choice("embeddings", {"dram": True, "reram_memory": False, "in_crossbar": False})[:, 0]
    return LookupCost(
        energy_pj=numpy.sum([cost.energy_pj for cost in costs], axis=0),
        time_ns=numpy.max([cost.time_ns for cost in costs], axis=0) + queued_ns * in_dram,
        area_mm2=numpy.sum([cost.area_mm2 for cost in costs], axis=0),
    )


def _bursts(embeddings: Embeddings) -> int:
    """Bursts in which DRAM sends the rows of one width: whole ones for each field."""
    return embeddings.fields * int(ceil_divide(embeddings.width * BITS, DRAM_BURST_BITS))


def _of_one_width(embeddings: Embeddings, chip: HardwareColumns) -> LookupCost:
    bits = embeddings.fields * embeddings.width * BITS
    stored_bits = embeddings.rows * embeddings.width * BITS
    ones = numpy.ones_like(chip.read_ns)
    network = (BUS_PJ_PER_BIT + ROUTER_PJ_PER_BIT) * bits * chip.energy_scale

    memory_energy = bits / chip.cell_bits * chip.cell_pj + network
    memory_area = stored_bits / chip.cell_bits * CELL_AREA_UM2 / MEMORY_ARRAY_EFFICIENCY * chip.area_scale

    # In a crossbar the input is one-hot: a single row conducts, so one cycle is enough and a
    # converter that may stop does so after a cell's bits.
    s = slices(BITS, chip.cell_bits, chip.polarities == 2)
    conversions = embeddings.fields * embeddings.width * s
    needed = numpy.where(chip.adc_per_operator, numpy.minimum(chip.cell_bits, chip.adc_bits), chip.adc_bits)
    conversion_pj = chip.adc_energy_pj * conversion_share(needed, chip) + SHIFT_ADD_ENERGY_PJ
    driven = embeddings.fields * chip.polarities * chip.dac_pj
    crossbar_energy = (conversions * conversion_pj + driven) * chip.energy_scale + network
    crossbar_energy = crossbar_energy + conversions * chip.polarities * chip.cell_pj
    arrays = row_blocks(embeddings.rows, chip.array_rows) * chip.polarities
    arrays = arrays * column_blocks(embeddings.width, s, chip.array_rows)
    array_um2 = chip.array_rows**2 * CELL_AREA_UM2 + chip.array_rows * (chip.dac_um2 + SAMPLE_HOLD_AREA_UM2)
    converters = arrays // chip.polarities * ceil_divide(chip.array_rows, chip.columns_per_adc)
    crossbar_area = (arrays * array_um2 + converters * chip.adc_area_um2) * chip.area_scale

    where = chip.by_choice("embeddings", _PLACES)
    energy = numpy.choose(
        where, [DRAM_PJ_PER_BIT * DRAM_BURST_BITS * _bursts(embeddings) * ones, memory_energy, crossbar_energy]
    )
    time = numpy.choose(where, [DRAM_ACCESS_NS * ones, chip.read_ns, (1 + PIPELINE_CYCLES) * cycle_ns(chip)])
    area = numpy.choose(where, [0 * ones, memory_area, crossbar_area]) * 1e-6
    return LookupCost(energy[:, 0], time[:, 0], area[:, 0])
