"""How busy many ranks are in a search, and what each holds: a group of candidates judged by 128 simulated ranks.

    python -m benchmarks.search_scale [--ranks 128] [--candidates 8]

Ranks are threads of this process, of which one computes at a time; each judges the group by the product's own code
(pipeline/search/judge.py) on its own rows, at the published numbers of them: 256,000 fitted, 1,228,800 judged. CPU time
is measured from one exchange between the ranks to the next, where all wait for the slowest; what an exchange itself
takes is not simulated. The scores are those of one rank. Last line: JSON.

    idle_share    share of the ranks' time that they wait for the slowest
    cache_share   rows that the rank with most of them holds, as a share of all
"""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

import numpy
import torch
import tyro
from torch import Tensor

from benchmarks.search_memory import SHAPE, random_rows
from modules.space import NASREC_SMALL, Architecture, multiply_accumulates, mutate, single_operator_any_connection
from modules.supernet import Supernet
from pipeline.run.processes import Processes
from pipeline.search.judge import Judge
from pipeline.search.racing import Score
from pipeline.search.scoring import valid_pieces
from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import FrozenRows, HeldRows

T = TypeVar("T")


@dataclass(frozen=True)
class SearchScaleConfig:
    """What is judged, and by how many."""

    ranks: int = 128
    """Simulated ranks, at least 1."""
    candidates: int = 8
    """Candidates of the group: the published evolution's generations have 8."""
    fit_rows: int = 256_000
    """Rows that heads are fitted on."""
    valid_rows: int = 1_228_800
    """Rows that judge."""
    max_mflops: float = 2.0
    """The parent's most million multiply-accumulates."""


@dataclass
class Exchange:
    """What the simulated ranks share."""

    ranks: int
    """How many they are."""
    busy_s: list[list[float]] = field(default_factory=list)
    """CPU-seconds before each exchange, by rank."""

    def __post_init__(self) -> None:
        self.slots: list[Any] = [None] * self.ranks
        self.barrier = threading.Barrier(self.ranks)
        self.turn = threading.Lock()


class SimulatedRank:
    """A rank's place, as `Processes` has it, among threads."""

    def __init__(self, rank: int, exchange: Exchange) -> None:
        self.rank, self.world_size, self.device = rank, exchange.ranks, torch.device("cpu")
        self._exchange, self._since, self._exchanges = exchange, 0.0, 0

    def begin(self) -> None:
        """Wait for this rank's turn, and compute."""
        self._exchange.turn.acquire()
        self._since = time.thread_time()

    def end(self) -> None:
        """Take down what this rank has computed, and let another one do so."""
        busy, number = time.thread_time() - self._since, self._exchanges
        if len(self._exchange.busy_s) == number:
            self._exchange.busy_s.append([0.0] * self.world_size)
        self._exchange.busy_s[number][self.rank] = busy
        self._exchanges += 1
        self._exchange.turn.release()

    def gather(self, value: T) -> list[T]:
        """Every rank's value."""
        self.end()
        self._exchange.slots[self.rank] = value
        self._exchange.barrier.wait()
        found = list(self._exchange.slots)
        self._exchange.barrier.wait()
        self.begin()
        return found

    def reduced(self, value: Tensor, operation: Literal["total", "largest"]) -> Tensor:
        """The ranks' tensors added, or the largest of each number."""
        parts = self.gather(value)
        total = parts[0].clone()
        for part in parts[1:]:
            total = total + part if operation == "total" else torch.maximum(total, part)
        return total


def group(config: SearchScaleConfig) -> list[Architecture]:
    """A random parent's children."""
    generator = numpy.random.default_rng(0)
    while True:
        parent = single_operator_any_connection(NASREC_SMALL, generator)
        if multiply_accumulates(parent, SHAPE) <= 1e6 * config.max_mflops:
            break
    children: dict[Architecture, None] = {}
    while len(children) < config.candidates:
        children.setdefault(mutate(parent, NASREC_SMALL, generator))
    return list(children)


def judged(
    supernet: Supernet, fit: FrozenRows, valid: FrozenRows, architectures: Sequence[Architecture], ranks: int
) -> tuple[list[list[Score]], list[list[float]], int]:
    """Every rank's scores, its CPU-seconds before each exchange, and the most rows that one holds."""
    scoring = ScoringConfig(fine_tune_rows=len(fit), valid_rows=len(valid))
    exchange, scores = Exchange(ranks), [list[Score]()] * ranks
    cut = valid_pieces(len(valid), scoring)
    held = [(HeldRows.of(fit, None, rank, ranks), HeldRows.of(valid, cut, rank, ranks)) for rank in range(ranks)]

    def work(rank: int) -> None:
        place = SimulatedRank(rank, exchange)
        judge = Judge(supernet, *held[rank], scoring, cast(Processes, place), places=3)
        place.begin()
        scores[rank] = judge.scores(architectures, ())
        place.end()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return scores, exchange.busy_s, max(len(own.rows) + len(other.rows) for own, other in held)


def main(config: SearchScaleConfig) -> dict[str, float]:
    """Judge by many ranks and by one; the last line."""
    torch.set_num_threads(1)
    supernet = Supernet(NASREC_SMALL, SHAPE, torch.Generator().manual_seed(0))
    fit, valid = random_rows(config.fit_rows, 1), random_rows(config.valid_rows, 2)
    architectures = group(config)
    scores, busy_s, most = judged(supernet, fit, valid, architectures, config.ranks)
    (alone,), alone_s, _ = judged(supernet, fit, valid, architectures, 1)
    assert all(own == alone for own in scores), "the scores depend on the ranks"
    computed, waited_for = sum(map(sum, busy_s)), config.ranks * sum(map(max, busy_s))
    print(
        f"{config.candidates} candidates, {config.ranks} ranks, {len(busy_s)} exchanges: {computed:.0f} CPU-s by all, "
        f"{sum(map(max, busy_s)):.2f} s by the slowest each time; {sum(map(sum, alone_s)):.0f} CPU-s by one rank alone"
    )
    return {
        "idle_share": round(1 - computed / waited_for, 3),
        "cache_share": round(most / (len(fit) + len(valid)), 5),
    }


if __name__ == "__main__":
    print(json.dumps(main(tyro.cli(SearchScaleConfig, description=__doc__))))
