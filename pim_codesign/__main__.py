"""What one architecture costs on each preset's chip: python -m pim_codesign [--architecture FILE] [--hardware.… VALUE]

FILE is the JSON of an architecture, this project's or NASRec's; without one, an architecture is drawn from NASRec-Full.
Every chip option can be set, for example --hardware.node-nm 22; --hardware.preset mnsim prints that preset alone, and
--chip FILE a chip of one's own: its options in TOML or JSON, by the names below with _ for -.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import tyro

from pim_codesign.checks import whole
from pim_codesign.chip_file import read_chip_options
from pim_codesign.hardware import PRESETS
from pim_codesign.overrides import ChipOptions, with_options

if TYPE_CHECKING:
    from modules.space import Architecture
    from pim_codesign.cost import Breakdown, Cost


@dataclass(frozen=True)
class Options:
    """The architecture, its inputs and the chip."""

    architecture: str = ""
    """Path of an architecture's JSON; empty for a random architecture."""
    seed: int = 0
    """Seed of the random architecture, at least 0."""
    integers: int = 13
    """Dense inputs I, at least 1."""
    fields: int = 26
    """Categorical fields F, at least 1."""
    embedding_width: int = 16
    """Embedding width D, at least 1."""
    chip: str = ""
    """Path of a .toml or .json file with options of a chip, whose costs alone are printed; empty for each preset's."""
    by_operator: bool = False
    """Print energy, latency and area of each operator too."""
    hardware: ChipOptions = field(default_factory=ChipOptions)
    """Options of the chip that replace each preset's own."""

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("integers", 1), ("fields", 1), ("embedding_width", 1)):
            whole(f"--{name.replace('_', '-')}", getattr(self, name), least)


def _architecture(options: Options) -> "Architecture":
    from modules.space import NASREC_FULL, Architecture, from_nasrec_json, single_operator_any_connection

    if not options.architecture:
        return single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(options.seed))
    try:
        data = json.loads(Path(options.architecture).read_text())
        return from_nasrec_json(data) if "micro" in data else Architecture.from_json(data, NASREC_FULL)
    except (ValueError, TypeError) as error:  # json's own error is a ValueError; "micro" in 3 a TypeError
        raise ValueError(f"--architecture {options.architecture}: {error}") from error


def main(options: Options) -> None:
    """Print each preset's totals and breakdowns of the naive W8A8 mapping.

    Raises ValueError where the options make an impossible chip of a preset.
    """
    from modules.space import InputShape  # here, when the command line has been read: they take seconds
    from pim_codesign.cost import breakdown, evaluate
    from pim_codesign.mapping import workload_of_subnet

    given = (read_chip_options(Path(options.chip)) if options.chip else {}) | options.hardware.given
    only = "isaac32" if options.chip else ""
    chips = {
        name: with_options(chip, given) for name, chip in PRESETS.items() if given.get("preset", only or name) == name
    }
    shape = InputShape(options.integers, options.fields, options.embedding_width)
    workload = workload_of_subnet(_architecture(options), shape)
    print(f"{workload.multiply_accumulates / 1e6:.2f} million multiply-accumulates, naive W8A8 mapping")
    for name, chip in chips.items():
        _print(name, evaluate(workload, chip))
        if options.by_operator:
            _print_by_operator(breakdown(workload, chip))


def _print(name: str, cost: "Cost") -> None:
    lossless = "" if cost.lossless else ", converters clip"
    print(
        f"\n{name}: {cost.latency_us:.2f} µs, {cost.throughput_per_s:,.0f} samples/s, {cost.energy_nj:,.0f} nJ, "
        f"{cost.area_mm2:.2f} mm², {cost.power_w * 1e3:.0f} mW, {cost.arrays} arrays, {cost.utilization:.0%} used"
        f"{lossless}"
    )
    for unit, parts in (("nJ", cost.energy_breakdown_nj), ("mm²", cost.area_breakdown_mm2)):
        shares = sorted(parts.items(), key=lambda part: -part[1])
        print("  " + ", ".join(f"{part} {value:.4g} {unit}" for part, value in shares if value > 0))


def _print_by_operator(parts: "Breakdown") -> None:
    """A line an operator; "–" where it is not on the critical path or has no area of its own."""
    tables = (parts.energy_nj, parts.latency_us, parts.area_mm2)
    names = dict.fromkeys(name for table in tables for name in table)
    print(f"  {'operator':<32} {'energy nJ':>10} {'latency µs':>10} {'area mm²':>10}")
    for name in names:
        numbers = (f"{sum(table[name].values()):10.4g}" if name in table else f"{'–':>10}" for table in tables)
        print(f"  {name:<32} {' '.join(numbers)}")


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, prog="pim_codesign", description=__doc__))
    except (ValueError, OSError) as error:
        sys.exit(f"pim_codesign: {error}")
