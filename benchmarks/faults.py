"""Break a training on two ranks in every way that machines do, and see that it ends as if nothing had happened.

    python -m benchmarks.faults [--faults 50] [--seed 0]

Each fault strikes one training of the product's own loop, on a log whose rows are numbered, at a random step; then the
same training is started again, on two ranks or on one, and ends. Counted are the rows of the log that the surviving
steps read not at all or more than once, and the trainings whose weights or metrics are not, bit for bit, those of a
training that nothing struck (where they were started again on two ranks). What a killed process had read behind its
last checkpoint does not survive, and is read again.

Ranks are forked from this process, which has imported everything and started no thread. Files are in memory where there
is /dev/shm: a checkpoint every few milliseconds would measure the disk.
"""

import contextlib
import datetime
import json
import multiprocessing
import os
import resource
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
import tyro
from torch import Tensor, distributed, nn
from torchrec import EmbeddingBagConfig

from modules.embeddings import shard_embeddings
from modules.supernet import SlicedAdagrad
from modules.table_prior import TablePrior, accumulators
from pipeline.data import Batch, DataConfig, open_dataset
from pipeline.run.checkpoint import _checksum, complete
from pipeline.run.folder import RunFolder
from pipeline.run.lost import lost_process
from pipeline.run.processes import join
from pipeline.run.stopping import Stopped, sigterm_stops
from pipeline.training.config import TrainingConfig
from pipeline.training.loop import train
from pipeline.training.trainee import Trainee, whole

ROWS, BATCH, EPOCHS = 2048, 64, 2
STEPS = ROWS // BATCH * EPOCHS
RANKS = 2
ANSWER_S = 5
"""Seconds after which a rank that does not answer is taken for hung, where one is made to hang; a busy machine's ranks
may all be slow."""
DEADLINE_S = 120.0
"""Seconds after which a training that has not ended is one that hangs."""
CONFIG = TrainingConfig(
    batch_size=BATCH, epochs=EPOCHS, log_every=8, checkpoint_every=8, checkpoint_minutes=0.002, table_prior_count=4.0
)
FULL_BYTES = 300
"""Largest file on a disk that is full."""

KINDS = (
    *("kill a rank", "kill all", "SIGTERM to a rank", "SIGTERM to all"),
    *("newest checkpoint cut", "newest checkpoint NaN", "disk full for a while", "disk full to the end"),
    *("store gone", "hung rank"),
)


@dataclass(frozen=True)
class Fault:
    """What strikes."""

    kind: str
    """One of KINDS."""
    step: int
    """Before which step, from 0."""
    delay_s: float
    """How long after that step's beginning, s: in the midst of something else."""
    rank: int
    """The rank that it strikes, where it strikes one."""
    ranks_after: int
    """On how many ranks the training is started again."""


class Network(nn.Module):
    """A small network with dropout, B batch: dense [B, 1], sparse [B, 2, 4] → logit [B]."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.hidden = nn.Parameter(torch.randn(16, 9, generator=generator) / 3)
        self.head = nn.Parameter(torch.zeros(16))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """The logit."""
        rows = torch.cat([dense, sparse.flatten(1)], dim=1)
        return torch.relu(nn.functional.dropout(rows, 0.2, self.training) @ self.hidden.T) @ self.head


class Recorded:
    """A stream that writes down the rows of each step, and lets a fault strike."""

    def __init__(self, stream: Any, path: Path, strike: Callable[[int], None]) -> None:
        self._stream, self._strike = stream, strike
        self._file = path.open("ab", buffering=0)

    def __len__(self) -> int:
        return len(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Batch]:
        while self._stream.epoch < EPOCHS:
            step = self._stream.batches
            self._strike(step)
            batch = next(self._stream)
            numbers = torch.expm1(batch.dense[:, 0].double()).round().int().tolist()
            limit = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit[1], limit[1]))  # the disk of this file is not full
            self._file.write(struct.pack(f"<{2 + len(numbers)}i", step, len(numbers), *numbers))
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            yield batch


def write_log(folder: Path) -> DataConfig:
    """A log whose integer column is the row's number, with two categories."""
    folder.mkdir()
    generator = numpy.random.default_rng(0)
    for name, rows in (("train", ROWS), ("valid", BATCH), ("test", BATCH)):
        columns = zip(
            generator.integers(2, size=rows), range(rows), generator.integers(50, size=(rows, 2)), strict=True
        )
        lines = [f"{label}\t{row}\t{pair[0]}\t{pair[1]}\n" for label, row, pair in columns]
        (folder / f"{name}.tsv").write_text("".join(lines))
    schema = {
        "name": "numbered",
        "label": "y",
        "integers": ["row"],
        "categories": ["a", "b"],
        "integer_ids": ["a", "b"],
    }
    columns_of = {"table_sizes": [60, 60], "columns": ["y", "row", "a", "b"]}
    (folder / "schema.json").write_text(json.dumps({**schema, **columns_of}))
    return DataConfig(path=str(folder), numbering="hash")


def work(home: Path, data: DataConfig, start: int, fault: Fault | None) -> None:
    """One rank of one start of a training, in a process of its own; it leaves its weights."""
    with sigterm_stops(), join("cpu") as processes:
        if processes.world_size > 1:
            answer_s = ANSWER_S if fault is not None and fault.kind == "hung rank" else DEADLINE_S
            distributed.distributed_c10d._set_pg_timeout(_seconds(answer_s), distributed.group.WORLD)
        dataset, rank = open_dataset(data, str(home / "data")), processes.rank
        tables = [
            EmbeddingBagConfig(name=f"t_{c}", feature_names=[c], num_embeddings=60, embedding_dim=4) for c in "ab"
        ]
        own = BATCH // processes.world_size
        embeddings = shard_embeddings(tables, processes.device, own, 0.2, 1e-8, seed=5)
        network = Network().train()
        parameters = dict(network.named_parameters())
        prior = TablePrior(embeddings, CONFIG.table_prior_count)
        trainee = Trainee(embeddings, parameters, whole(network), SlicedAdagrad(parameters), prior, seed=5)
        stream = dataset.stream("train", own, rank, processes.world_size, shuffle_seed=0, epochs=EPOCHS)
        recorded: Any = Recorded(stream, home / f"rows_{start}_{rank}", lambda step: strike(step, rank, fault))
        train(trainee, recorded, CONFIG, RunFolder(home / "run"), "stage", processes)
        found = [table.local_shards() for table in embeddings.state_dict().values()]
        held = [
            *parameters.values(),
            *(shard.tensor for shards in found for shard in shards),
            *accumulators(embeddings),
        ]
        torch.save([tensor.detach().clone() for tensor in held], home / f"weights_{rank}.pt")


def strike(step: int, rank: int, fault: Fault | None) -> None:
    """Let a fault that is this rank's own strike before its step."""
    if fault is None:
        return
    if fault.kind == "disk full for a while" and step in (fault.step, fault.step + 12):
        _limit_files(FULL_BYTES if step == fault.step else resource.RLIM_INFINITY)
    if step != fault.step:
        return
    is_mine = rank == fault.rank or fault.kind.endswith("all") or fault.kind.startswith("newest")
    match fault.kind:
        case "kill a rank" | "kill all" | "newest checkpoint cut" | "newest checkpoint NaN" if is_mine:
            _send(signal.SIGKILL, fault.delay_s)
        case "SIGTERM to a rank" | "SIGTERM to all" if is_mine:
            _send(signal.SIGTERM, fault.delay_s)
        case "hung rank" if is_mine:
            _send(signal.SIGSTOP, 0)
        case "disk full to the end":
            _limit_files(FULL_BYTES)
        case "store gone" if rank == 0:
            os.kill(int(os.environ["STORE_PID"]), signal.SIGKILL)


def _send(number: int, delay_s: float) -> None:
    """Send this process a signal a little later."""
    threading.Timer(delay_s, os.kill, (os.getpid(), number)).start() if delay_s else os.kill(os.getpid(), number)


def _limit_files(size_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def _seconds(seconds: float) -> Any:
    return datetime.timedelta(seconds=seconds)


def run(home: Path, data: DataConfig, start: int, ranks: int, fault: Fault | None = None) -> list[int | None]:
    """Start a training on so many ranks and wait until all have ended; their exit statuses, negative for signals, None
    for a rank that had to be killed as it hung."""
    fork = multiprocessing.get_context("fork")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ready = fork.Event()
    store = fork.Process(target=_keep_store, args=(port, ready))
    store.start()
    assert ready.wait(30)
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    environment |= {"WORLD_SIZE": str(ranks), "STORE_PID": str(store.pid)}
    started = [
        fork.Process(target=_rank, args=(home, data, start, fault, {**environment, "RANK": str(rank)}))
        for rank in range(ranks)
    ]
    for process in started:
        process.start()
    statuses = _wait(started)
    store.kill()
    store.join()
    return statuses


def _keep_store(port: int, ready: Any) -> None:
    """The store at which ranks meet, in a process of its own as torchrun's agent is."""
    store = distributed.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
    ready.set()
    while store is not None:
        time.sleep(1)


def _rank(home: Path, data: DataConfig, start: int, fault: Fault | None, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    torch.set_num_threads(1)
    status, said = 1, ""
    try:
        work(home, data, start, fault)
        status = 0
    except Stopped as stopped:
        status = int(str(stopped.code))
    except (ValueError, OSError) as error:
        said = str(error)
    except Exception as error:
        said = lost_process(error) or "".join(traceback.format_exception(error))
        status = 1 if lost_process(error) else 2
    _limit_files(resource.RLIM_INFINITY)
    (home / f"said_{start}_{environment['RANK']}.txt").write_text(said)
    os._exit(status)


def _wait(started: Sequence[Any]) -> list[int | None]:
    """As torchrun does: when a rank has failed, the others have a while to end, and are killed."""
    began, failed = time.monotonic(), None
    while any(process.is_alive() for process in started):
        now = time.monotonic()
        if failed is None and any(process.exitcode not in (None, 0) for process in started):
            failed = now
        if now - began > DEADLINE_S or (failed is not None and now - failed > 2 * ANSWER_S):
            break
        time.sleep(0.01)
    hung = [process.is_alive() for process in started]
    for process in started:
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
    return [None if was_hung else process.exitcode for process, was_hung in zip(started, hung, strict=True)]


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
