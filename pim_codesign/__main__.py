"""What one architecture costs on each preset's chip: python -m pim_codesign [--architecture FILE] [--seed 0]

FILE is an architecture's JSON, this project's or NASRec's; without one, an architecture drawn from NASRec-Full.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy
import tyro

from modules.space import NASREC_FULL, Architecture, InputShape, from_nasrec_json, single_operator_any_connection
from pim_codesign.cost import evaluate
from pim_codesign.hardware import PRESETS
from pim_codesign.mapping import workload_of_subnet


@dataclass(frozen=True)
class Options:
    """The question."""

    architecture: str = ""
    """Path of an architecture's JSON; empty for a random one."""
    seed: int = 0
    """Of the random architecture."""
    integers: int = 13
    """Dense inputs I."""
    fields: int = 26
    """Categorical fields F."""
    embedding_width: int = 16
    """Embedding width D."""


def _architecture(options: Options) -> Architecture:
    if not options.architecture:
        return single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(options.seed))
    data = json.loads(Path(options.architecture).read_text())
    return from_nasrec_json(data) if "micro" in data else Architecture.from_json(data, NASREC_FULL)


def main(options: Options) -> None:
    """Print each preset's totals and breakdowns of the naive W8A8 mapping."""
    shape = InputShape(options.integers, options.fields, options.embedding_width)
    workload = workload_of_subnet(_architecture(options), shape)
    print(f"{workload.multiply_accumulates / 1e6:.2f} million multiply-accumulates, naive W8A8 mapping")
    for name, hardware in PRESETS.items():
        cost = evaluate(workload, hardware)
        print(
            f"\n{name}: {cost.latency_us:.2f} µs, {cost.throughput_per_s:,.0f} samples/s, {cost.energy_nj:,.0f} nJ, "
            f"{cost.area_mm2:.2f} mm², {cost.power_w * 1e3:.0f} mW, {cost.arrays} arrays, {cost.utilization:.0%} used"
        )
        for unit, parts in (("nJ", cost.energy_breakdown_nj), ("mm²", cost.area_breakdown_mm2)):
            shares = sorted(parts.items(), key=lambda part: -part[1])
            print("  " + ", ".join(f"{part} {value:.4g} {unit}" for part, value in shares if value > 0))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
