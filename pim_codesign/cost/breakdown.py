"""`breakdown`: energy, latency and area of a mapped workload by operator and, of each, by part of the chip.

What all operators share has a name in brackets: the lookup, the digital logic's area, the leakage. T stages.
"""

from collections import defaultdict
from collections.abc import Mapping as Lookup
from dataclasses import dataclass

import numpy

from pim_codesign.cost.areas import areas_mm2
from pim_codesign.cost.columns import Floats, HardwareColumns, MappingColumns
from pim_codesign.cost.latency import critical_path
from pim_codesign.cost.model import Work, evaluate
from pim_codesign.hardware import Hardware
from pim_codesign.mapping.mapping import Mapping
from pim_codesign.mapping.workload import Workload

LOOKUP, LEAKAGE, DIGITAL = "(embeddings)", "(leakage)", "(digital logic)"
"""What no operator has to itself."""

Parts = dict[str, dict[str, float]]
"""Operator -> part of the chip -> its share."""


@dataclass(frozen=True)
class Breakdown:
    """Where a cost comes from; the numbers of each table add up to the `Cost`'s own."""

    energy_nj: Parts
    """Energy per sample, nJ."""
    latency_us: Parts
    """The way from the inputs to the latest output: what each operator on it adds to the latency, by "crossbars" (with
    transfers and the lookup) and "digital", µs. Operators beside that way are not in it."""
    area_mm2: Parts
    """Area, mm²; tiles are shared out by the rows of the operators' arrays."""


def breakdown(workload: Workload, hardware: Hardware, mapping: Mapping | None = None) -> Breakdown:
    """The breakdown of `evaluate`'s cost. Raises ValueError as `evaluate` does."""
    cost = evaluate(workload, hardware, mapping)  # first: it checks what it is given
    chosen = Mapping.uniform(workload) if mapping is None else mapping
    chip = HardwareColumns([hardware])
    work = Work(workload, MappingColumns.of(workload, [chosen]), chip)
    energies = work.static.energies_pj(chip) | work.digital_pj(sums=False)
    energies["scratch_crossbars"] = work.scratch.by_stage(work.scratch.energy_pj_of)
    energy = _by_operator(workload, {name: column * 1e-3 for name, column in energies.items()})
    energy[LOOKUP] = {"embeddings": work.lookup.energy_pj.item() * 1e-3}
    energy[LEAKAGE] = {"leakage": cost.energy_breakdown_nj["leakage"]}
    arrays = work.static.arrays + work.scratch.by_stage(work.scratch.arrays_of)  # [1, T]
    return Breakdown(energy, _latency(workload, work), _areas(workload, arrays, chip))


def _owner(workload: Workload, index: int) -> str:
    """The operator of a stage; a stage of digital work only has its own name."""
    return LOOKUP if index == 0 else workload.stages[index].operator or workload.stages[index].name


def _by_operator(workload: Workload, columns: Lookup[str, Floats]) -> Parts:
    """Columns [1, T], or [1, 1] where all stages have the same, summed over each operator's stages; zeros left out."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for part, column in columns.items():
        for index, value in enumerate(numpy.broadcast_to(column[0], len(workload.stages)).tolist()):
            if value:
                found[_owner(workload, index)][part] += value
    return {operator: dict(parts) for operator, parts in found.items()}


def _latency(workload: Workload, work: Work) -> Parts:
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for index, crossbar_ns, digital_ns in critical_path(workload, work.crossbar_ns, work.digital_ns):
        found[_owner(workload, index)]["crossbars"] += crossbar_ns * 1e-3
        found[_owner(workload, index)]["digital"] += digital_ns * 1e-3
    return {operator: {part: value for part, value in parts.items() if value} for operator, parts in found.items()}


def _areas(workload: Workload, arrays: Floats, chip: HardwareColumns) -> Parts:
    """Each part's area by the operators' shares of the arrays, which all parts but the digital logic go with."""
    whole = areas_mm2(arrays.sum(axis=1, keepdims=True), chip)
    share = arrays / max(arrays.sum(), 1)
    found = _by_operator(workload, {part: share * area for part, area in whole.items() if part != "digital"})
    return found | {DIGITAL: {"digital": whole["digital"].item()}}
