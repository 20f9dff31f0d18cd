"""Products of computed operands on crossbars that are written for each sample, and how long their cells last.

P points, T stages, Q products.
"""

import numpy

from pim_codesign.cost.columns import Floats, HardwareColumns, MappingColumns
from pim_codesign.cost.crossbars import lay_out
from pim_codesign.devices.cells import WRITE_ENERGY_PJ, WRITE_TIME_NS
from pim_codesign.mapping.workload import Workload

SECONDS_PER_DAY = 86_400


class Scratch:
    """What the scratch crossbars take; zeros where MAC lanes make the products.

    One operand is written as if it were weights of the stage's activation bits, row by row, all columns at once; each
    array is written once per sample.
    """

    def __init__(self, workload: Workload, mapping: MappingColumns, chip: HardwareColumns) -> None:
        work = workload.columns
        self.stages = len(workload.stages)
        self.of_stage = work.computed_stage[:, None] == numpy.arange(self.stages)  # [Q, T]
        self.of_stage = self.of_stage.astype(numpy.float64)  # a product of floats is BLAS's
        points = len(mapping.dup)
        self.here = chip.scratch.astype(numpy.float64)  # [P, 1]
        if not self.here.any() or not len(work.computed_stage):
            nothing = numpy.zeros((points, len(work.computed_stage)))
            self.product_ns = self.arrays_of = self.conversions_of = self.used_cells_of = self.energy_pj_of = nothing
            return
        bits = mapping.activation_bits[:, work.computed_stage]  # [P, Q]
        laid = lay_out(
            work.computed_vectors, work.computed_rows, work.computed_columns, bits, bits, numpy.ones_like(bits), chip
        )
        count = (work.computed_count.T * self.here.T).T  # [P, Q], the points of a product beside each other
        row_writes_ns = numpy.minimum(work.computed_rows.T, chip.array_rows.T).T * WRITE_TIME_NS
        self.product_ns = (laid.crossbar_ns + row_writes_ns) * self.here
        self.arrays_of = laid.arrays * count
        self.conversions_of = laid.conversions * count
        self.used_cells_of = laid.used_cells * count
        self.energy_pj_of = sum(laid.energies_pj(chip).values()) * count + self.used_cells_of * WRITE_ENERGY_PJ

    def by_stage(self, of_product: Floats) -> Floats:
        """Numbers of products as sums of their stages. [P, Q] -> [P, T]"""
        return (self.of_stage.T @ of_product.T).T

    @property
    def stage_ns(self) -> Floats:
        """Time of each stage. [P, T]"""
        return self.by_stage(self.product_ns)


def lifetime_days(scratch_arrays: Floats, throughput_per_s: Floats, chip: HardwareColumns) -> Floats:
    """Days at full throughput until scratch cells, written once per sample, wear out; infinite without any. [P]"""
    days = chip.endurance_writes[:, 0] / (throughput_per_s * SECONDS_PER_DAY)
    return numpy.where(scratch_arrays > 0, days, numpy.inf)
