"""Peak resident memory of a search at the published numbers of rows: 256,000 fitted, 1,228,800 judged.

    python -m benchmarks.search_memory [--protocol published] [--candidates 12]

A supernet of NASRec-Small (13 integers, 26 fields, D 16) and a dozen random candidates of it, on random rows: no log is
needed. What memory holds does not depend on how long a head is fitted, so with the protocol `fitted` each fit has one
penalty and one iteration; its features are over `scoring.fine_tune_mb` and computed anew. Last line: JSON, peak_gb.
"""

import json
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy
import torch
import tyro

from modules.space import NASREC_SMALL, InputShape
from modules.supernet import Supernet
from pipeline.run.folder import RunFolder
from pipeline.run.processes import join
from pipeline.search.config import RandomSearchConfig
from pipeline.search.driver import search
from pipeline.search.scoring import valid_pieces
from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import CHUNK_ROWS, FrozenRows, HeldRows

SHAPE = InputShape(integers=13, fields=26, embedding_width=16)


@dataclass(frozen=True)
class SearchMemoryConfig:
    """What is searched."""

    protocol: Literal["fitted", "published"] = "fitted"
    """How last layers are trained."""
    candidates: int = 12
    """Random networks."""
    max_mflops: float = 0.0
    """The candidates' most million multiply-accumulates, to be done sooner; 0: no limit."""
    fit_rows: int = 256_000
    """Rows that heads are fitted on."""
    valid_rows: int = 1_228_800
    """Rows that judge."""
    threads: int = 2
    """Threads of torch."""


def random_rows(count: int, seed: int) -> FrozenRows:
    """Rows whose labels depend on a few of their numbers."""
    generator = torch.Generator().manual_seed(seed)
    rows = FrozenRows(
        torch.empty(count, SHAPE.integers),
        torch.empty(count, SHAPE.fields, SHAPE.embedding_width),
        torch.empty(count),
    )
    for start in range(0, count, CHUNK_ROWS):
        part = rows.part(start, start + CHUNK_ROWS)
        part.dense.normal_(generator=generator)
        part.embedded.normal_(0.0, 0.1, generator=generator)
        probability = (part.dense[:, 0] + 5 * part.embedded[:, 0, 0] - 1).sigmoid()
        part.label.copy_(torch.rand(len(part), generator=generator) < probability)
    return rows


def peak_gb() -> float:
    """The process's peak resident memory until now, as the system counts it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(config: SearchMemoryConfig) -> dict[str, float]:
    """Search, and say what it took."""
    torch.set_num_threads(config.threads)
    supernet = Supernet(NASREC_SMALL, SHAPE, torch.Generator().manual_seed(0))
    begun = peak_gb()
    fit, valid = random_rows(config.fit_rows, 1), random_rows(config.valid_rows, 2)
    with_rows = peak_gb()
    scoring = ScoringConfig(
        protocol=config.protocol,
        fine_tune_rows=config.fit_rows,
        fine_tune_penalties=(1e-2,),
        fine_tune_iterations=1,
        valid_rows=config.valid_rows,
    )
    chosen = RandomSearchConfig(candidates=config.candidates, max_mflops=config.max_mflops)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as home, join("cpu") as processes:
        generator = numpy.random.default_rng(0)
        judged = HeldRows.of(valid, valid_pieces(len(valid), scoring))
        found = search(
            supernet, HeldRows.of(fit), judged, chosen, scoring, generator, RunFolder(Path(home)), processes, 0, 3
        )
    cpu_s = time.process_time() - started
    for one in found:
        print(
            f"candidate {one.index:2}: {one.multiply_accumulates / 1e6:5.2f} MMACs, log loss {one.score:.5f} "
            f"± {one.standard_error or 0:.5f} on {one.judged_rows:,} rows"
        )
    print(
        f"{begun:.2f} GB before the rows, {with_rows:.2f} GB with them, {peak_gb():.2f} GB at most; {cpu_s:.0f} CPU-s"
    )
    return {"peak_gb": round(peak_gb(), 3), "rows_gb": round(with_rows - begun, 3), "cpu_s": round(cpu_s, 1)}


if __name__ == "__main__":
    print(json.dumps(measure(tyro.cli(SearchMemoryConfig, description=__doc__))))
