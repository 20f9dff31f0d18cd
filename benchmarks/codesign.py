"""Speed of the chip's cost model and of the bit-true crossbars, and the same of another checkout in turn.

    python benchmarks/codesign.py [--reference FOLDER] [--rounds 5]

Every figure is of CPU-seconds of one thread. A round is a fresh process of each checkout, one after the other; the best
round of each is reported, since another program on the machine can only slow one down.
evaluations_per_second  genomes decoded and costed a second, a population of NSGA-II's kind, of a 7-block network
                        (repaired first, as a search's are)
bit_true_ratio          a 512 × 512 layer on crossbars, W8A8, over the float64 products that it is made of, at 64, 256
                        and 1,024 rows; the largest of the three
With --reference, `reference` holds that checkout's figures. The last line is JSON.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The checkout that is measured is the one in the working directory, which `measured` sets.
sys.path.insert(0, os.getcwd() if "--measure" in sys.argv else str(Path(__file__).resolve().parents[1]))

import numpy
import tyro

ROWS = (64, 256, 1024)
BLOCKS = 7


@dataclass(frozen=True)
class CodesignBenchmark:
    """What to measure."""

    reference: str = ""
    """Folder of another checkout of this project; empty for none."""
    rounds: int = 5
    """Processes of each checkout, at least 1."""
    points: int = 1000
    """Points that are costed at once."""
    seconds: float = 1.0
    """CPU-seconds that each figure is measured for in a round."""
    measure: bool = False
    """Measure the checkout in the working directory once and print its figures (what the program starts)."""


def per_call(call: Callable[[], Any], seconds: float) -> float:
    """CPU-seconds of a call: the least of single calls for so many seconds, after one that is not counted."""
    call()
    found: list[float] = []
    end = time.process_time() + seconds
    while not found or time.process_time() < end:
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def evaluations_per_second(points: int, seconds: float) -> float:
    """Repaired genomes that are decoded and costed."""
    from modules.space import NASREC_FULL, InputShape, single_operator_any_connection
    from pim_codesign import PRESETS, workload_of_subnet
    from pim_codesign.cost.model import evaluate_columns
    from pim_codesign.search.genome import Genome

    generator = numpy.random.default_rng(0)
    architecture = single_operator_any_connection(NASREC_FULL, generator)
    assert len(architecture.blocks) == BLOCKS
    genome = Genome(workload_of_subnet(architecture, InputShape(13, 26, 16)), PRESETS["isaac32"])
    genomes = genome.random(points, generator)
    return points / per_call(lambda: evaluate_columns(genome.workload, *genome.columns(genomes)), seconds)


def bit_true_ratios(seconds: float) -> dict[int, float]:
    """A layer bit by bit over the products of its digits and levels, by rows."""
    from pim_codesign import Crossbars, Hardware
    from pim_codesign.mapping.slicing import input_cycles, slices

    generator, chip = numpy.random.default_rng(0), Hardware()
    weights = generator.integers(-127, 128, size=(512, 512))
    crossbars = Crossbars(weights, 8, chip)
    found = {}
    for rows in ROWS:
        inputs = generator.integers(-127, 128, size=(rows, 512))
        digits = generator.integers(0, 2, size=(rows, chip.array_rows)).astype(numpy.float64)
        levels = generator.integers(0, 4, size=(chip.array_rows, 4 * 512)).astype(numpy.float64)
        products = int(input_cycles(8, chip.dac_bits)) * 512 // chip.array_rows
        assert int(slices(8, chip.cell_bits, False)) == 4

        def alone(digits: Any = digits, levels: Any = levels, products: int = products) -> None:
            for _ in range(products):
                digits @ levels

        ours, theirs = [], []
        for _ in range(3):  # in turn
            ours.append(per_call(lambda inputs=inputs: crossbars(inputs, 8), seconds / 3))  # type: ignore[misc]
            theirs.append(per_call(alone, seconds / 3))
        found[rows] = min(ours) / min(theirs)
    return found


def measured(options: CodesignBenchmark, folder: Path) -> dict[str, Any]:
    """The figures of a checkout, in a process of its own."""
    command = [sys.executable, __file__, "--measure", "--points", str(options.points)]
    command += ["--seconds", str(options.seconds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    ended = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def best(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Each figure's best round."""
    ratios = {rows: min(one["bit_true_ratios"][rows] for one in rounds) for rows in rounds[0]["bit_true_ratios"]}
    return {
        "evaluations_per_second": round(max(one["evaluations_per_second"] for one in rounds)),
        "bit_true_ratio": round(max(ratios.values()), 3),
        "bit_true_ratios": {rows: round(ratio, 3) for rows, ratio in ratios.items()},
    }


def main(options: CodesignBenchmark) -> None:
    """Measure and print."""
    if options.measure:
        ratios = bit_true_ratios(options.seconds)
        rate = evaluations_per_second(options.points, options.seconds)
        print(json.dumps({"evaluations_per_second": rate, "bit_true_ratios": ratios}))
        return
    folders = {"": Path(__file__).resolve().parents[1]}
    if options.reference:
        folders["reference"] = Path(options.reference).resolve()
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in folders}
    for number in range(options.rounds):
        for name, folder in folders.items():
            rounds[name].append(measured(options, folder))
            print(number + 1, name or "this checkout", json.dumps(rounds[name][-1]), flush=True)
    figures = best(rounds[""])
    print(json.dumps(figures | {name: best(rounds[name]) for name in folders if name}))


if __name__ == "__main__":
    main(tyro.cli(CodesignBenchmark, description=__doc__))
