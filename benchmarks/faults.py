"""Break a training on two ranks in every way that machines do, and see that it ends as if nothing had happened.

    python -m benchmarks.faults [--faults 50] [--seed 0]

Each fault strikes one training of the product's own loop, on a log whose rows are numbered, at a random step; then the
same training is started again, on two ranks or on one, and ends. Counted are the rows of the log that the surviving
steps read not at all or more than once, and the trainings whose weights or metrics are not, bit for bit, those of a
training that nothing struck (where they were started again on two ranks). What a killed process had read behind its
last checkpoint does not survive, and is read again.

benchmarks/struck_training.py is the training. Files are in memory where there is /dev/shm: a checkpoint every few
milliseconds would measure the disk.
"""

import contextlib
import json
import os
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
import tyro

from benchmarks.struck_training import BATCH, EPOCHS, KINDS, RANKS, ROWS, STEPS, Fault, run, write_log
from pipeline.data import DataConfig
from pipeline.run.checkpoint import _checksum, complete
from pipeline.run.folder import RunFolder


def damage(home: Path, fault: Fault) -> None:
    """Spoil the newest checkpoint on the disk, where that is the fault."""
    newest = next(iter(complete(RunFolder(home / "run").checkpoints("stage"))), None)
    if newest is None or not fault.kind.startswith("newest"):
        return
    for path in newest.glob("*.tensors"):
        contents = path.read_bytes()
        path.write_bytes(contents[: len(contents) // 2] if fault.kind.endswith("cut") else b"\xff" * len(contents))
    if fault.kind.endswith("NaN"):
        sums = {path.name: _checksum(path) for path in newest.iterdir() if path.name != "checksums.json"}
        (newest / "checksums.json").write_text(json.dumps(sums))


def surviving_rows(home: Path, starts: int) -> list[Counter[int]]:
    """Of each epoch, how often the steps that led to the final weights read each row."""
    kept: dict[int, list[int]] = {}
    for start in range(starts):
        read: dict[int, list[int]] = {}
        for path in home.glob(f"rows_{start}_*"):
            contents, place = path.read_bytes(), 0
            while place + 8 <= len(contents):
                step, count = struct.unpack_from("<2i", contents, place)
                read.setdefault(step, []).extend(struct.unpack_from(f"<{count}i", contents, place + 8))
                place += 8 + 4 * count
        first = min(read, default=STEPS)
        kept = {step: rows for step, rows in kept.items() if step < first} | read
    epochs = [Counter[int]() for _ in range(EPOCHS)]
    for step, rows in kept.items():
        epochs[step * BATCH // ROWS].update(rows)
    return epochs


@dataclass(frozen=True)
class Outcome:
    """What a fault left behind."""

    fault: Fault
    """What struck."""
    statuses: tuple[list[int | None], ...]
    """How the ranks of each start ended."""
    lost: int
    """Rows that no surviving step read, in all epochs."""
    repeated: int
    """Readings of rows beyond the first in their epoch."""
    is_equal: bool
    """Whether it ended, on the same number of ranks with the untouched training's weights and metrics."""


def strike_and_resume(home: Path, data: DataConfig, untouched: Path, fault: Fault) -> Outcome:
    """A training with a fault, started again until it ends."""
    home.mkdir()
    statuses = [run(home, data, 0, RANKS, fault)]
    damage(home, fault)
    if statuses[0] != [0] * RANKS:
        statuses.append(run(home, data, 1, fault.ranks_after))
    epochs = surviving_rows(home, len(statuses))
    lost = sum(row not in read for read in epochs for row in range(ROWS))
    repeated = sum(count - 1 for read in epochs for count in read.values())
    is_equal = all(status == 0 for status in statuses[-1]) and 2 not in statuses[0]
    if is_equal and len(statuses[-1]) == RANKS:
        is_equal = all(_same(home, untouched, rank) for rank in range(RANKS))
    return Outcome(fault, tuple(statuses), lost, repeated, is_equal)


def _same(home: Path, untouched: Path, rank: int) -> bool:
    found, expected = (torch.load(folder / f"weights_{rank}.pt") for folder in (home, untouched))
    metrics = [RunFolder(folder / "run").metrics("stage").read_bytes() for folder in (home, untouched)]
    return metrics[0] == metrics[1] and len(found) == len(expected) and all(map(torch.equal, found, expected))


def drawn(faults: int, seed: int, kinds: Sequence[str] = KINDS) -> list[Fault]:
    """Faults of all kinds in turn, each at a random moment; every fifth training goes on on one rank."""
    generator = numpy.random.default_rng(seed)
    return [
        Fault(
            kind=kinds[number % len(kinds)],
            step=int(generator.integers(4, STEPS - 16)),
            delay_s=float(generator.choice([0.0, generator.uniform(0, 0.1)])),
            rank=int(generator.integers(RANKS)),
            ranks_after=1 if number // len(kinds) % 5 == 4 else RANKS,
        )
        for number in range(faults)
    ]


@contextlib.contextmanager
def untouched_training(folder: Path) -> Iterator[tuple[DataConfig, Path]]:
    """The log, and a training on it that nothing strikes."""
    data, home = write_log(folder / "log"), folder / "untouched"
    home.mkdir()
    statuses = run(home, data, 0, RANKS)
    assert statuses == [0] * RANKS, f"{statuses}: {(home / 'said_0_0.txt').read_text()}"
    yield data, home


@dataclass(frozen=True)
class FaultsConfig:
    """How many, and which."""

    faults: int = 50
    """Faults, of all kinds in turn, at least 1."""
    kinds: tuple[str, ...] = KINDS
    """Which."""
    seed: int = 0
    """Of their moments."""


def main(config: FaultsConfig) -> int:
    """Strike, print a line a fault, and count."""
    outcomes = []
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as temporary, untouched_training(Path(temporary)) as (data, untouched):
        for number, fault in enumerate(drawn(config.faults, config.seed, config.kinds)):
            began = time.monotonic()
            found = strike_and_resume(Path(temporary) / f"fault_{number}", data, untouched, fault)
            outcomes.append(found)
            ended = " then ".join(str(statuses) for statuses in found.statuses)
            print(
                f"{number + 1:>3}  {fault.kind:<22} step {fault.step:>2} + {1e3 * fault.delay_s:3.0f} ms  {ended:<28} "
                f"lost {found.lost} repeated {found.repeated} {'equal' if found.is_equal else 'NOT EQUAL'} "
                f"({time.monotonic() - began:.1f} s)",
                flush=True,
            )
    counts = {
        "faults": len(outcomes),
        "rows_lost": sum(one.lost for one in outcomes),
        "rows_repeated": sum(one.repeated for one in outcomes),
        "unequal_results": sum(not one.is_equal for one in outcomes),
    }
    print(json.dumps(counts))
    return int(any(list(counts.values())[1:]))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(FaultsConfig, description=__doc__)))
