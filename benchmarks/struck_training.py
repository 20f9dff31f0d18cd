"""A training by the product's own loop, on two ranks, which a fault strikes: benchmarks/faults.py starts and judges it.

Ranks are forked from the process that asks, which has imported everything and started no thread.
"""

import datetime
import json
import multiprocessing
import os
import resource
import signal
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, distributed, nn
from torchrec import EmbeddingBagConfig

from modules.embeddings import shard_embeddings
from modules.supernet import SlicedAdagrad
from modules.table_prior import TablePrior, accumulators
from pipeline.data import Batch, DataConfig, open_dataset
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
