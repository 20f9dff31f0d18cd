"""What is saved where children of one parent are evaluated together: unique work, and CPU-seconds.

    python -m benchmarks.shared_scoring [--space nasrec_full] [--parents 6] [--rows 8192]

Eight children of a random parent, one mutation each, as a generation of the evolution has them: their features on
random rows, on one thread, together and one by one. Last line: JSON.
"""

import json
import statistics
import time
from dataclasses import dataclass
from typing import Literal

import numpy
import torch
import tyro

from modules.space import Architecture, InputShape, canonical, mutate, single_operator_any_connection
from modules.space.search_space import SPACES
from modules.supernet import Siblings, Supernet, extract
from pipeline.training.frozen_rows import CHUNK_ROWS

SHAPE = InputShape(integers=13, fields=26, embedding_width=16)
CHILDREN = 8


@dataclass(frozen=True)
class SharedScoringConfig:
    """What is evaluated."""

    space: Literal["open", "nasrec_small", "nasrec_full"] = "nasrec_small"
    """The search space."""
    parents: int = 6
    """Parents, eight children of each."""
    rows: int = 8_192
    """Rows."""


@torch.no_grad()
def measure(config: SharedScoringConfig) -> dict[str, float]:
    """Prints a line for each parent; returns the means."""
    torch.set_num_threads(1)
    space, generator = SPACES[config.space], numpy.random.default_rng(0)
    supernet = Supernet(space, SHAPE, torch.Generator().manual_seed(0))
    dense, sparse = torch.rand(CHUNK_ROWS, 13), torch.rand(CHUNK_ROWS, 26, 16)
    work, cpu = [], []
    for parent in range(config.parents):
        own = single_operator_any_connection(space, generator)
        children: dict[Architecture, Architecture] = {}
        while len(children) < CHILDREN:
            child = mutate(own, space, generator)
            children.setdefault(canonical(child), child)  # different networks
        architectures = list(children.values())
        networks = [extract(supernet, one).eval() for one in architectures]
        siblings = Siblings(supernet, architectures, networks)
        seconds = {"together": 0.0, "alone": 0.0}
        for _ in range(max(1, config.rows // CHUNK_ROWS) + 1):
            for how in seconds:  # in turn, so that other work on the machine meets both
                started = time.thread_time()
                found = (
                    siblings.features(dense, sparse)
                    if how == "together"
                    else (n.features(dense, sparse) for n in networks)
                )
                for _features in found:
                    pass
                seconds[how] += time.thread_time() - started
        work.append(siblings.multiply_accumulates / siblings.separate_multiply_accumulates)
        cpu.append(seconds["together"] / seconds["alone"])
        print(
            f"parent {parent}: {siblings.separate_multiply_accumulates / 1e6:6.2f} MMACs alone, {work[-1]:.2f} of them "
            f"unique; {seconds['alone']:.2f} CPU-s alone, {seconds['together']:.2f} together"
        )
    return {"unique_work": round(statistics.mean(work), 3), "cpu_ratio": round(statistics.mean(cpu), 3)}


if __name__ == "__main__":
    print(json.dumps(measure(tyro.cli(SharedScoringConfig, description=__doc__))))
