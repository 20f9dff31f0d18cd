"""Who trains the race's contenders: processes with one thread each, or all ranks together; outcomes are files.

A training is a function of its job alone, so it does not matter which process does it, nor on how many ranks. What is
done is a file in the run's folder: a race that was stopped reads it, and trains only what is missing.
"""

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import torch

from pipeline.config import RunConfig
from pipeline.data import open_dataset
from pipeline.race.trial_training import Job, Outcome, run_job
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Device, Processes, join
from pipeline.run.records.codec import read_record, to_plain, write_record
from pipeline.session import Session

LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")
"""What torchrun tells a rank, and a worker, whose process group has itself alone, must not hear."""
ORPHAN_CHECK_S = 2.0
"""Seconds between a worker's looks at whether the process that started it is still there."""


class Progress(Protocol):
    """Told of each training that is done."""

    def __call__(self, outcome: Outcome) -> None:
        """One is done."""
        ...


class Workers:
    """Trains jobs; every rank calls `run` with the same ones and gets all outcomes, in their order."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pool: ProcessPoolExecutor | None = None

    def run(self, jobs: Sequence[Job], progress: Progress) -> list[Outcome]:
        """The outcomes of the jobs, in their order. `progress` is told on the rank that trained."""
        processes, session = self._session.processes, self._session
        missing = processes.on_first(lambda: [self._found(job) is None for job in jobs])
        waiting = [job for job, is_missing in zip(jobs, missing, strict=True) if is_missing]
        if session.config.race.trained == "together":
            for job in waiting:
                outcome = run_job(session, job)
                processes.on_first(functools.partial(self._keep, outcome))
                progress(outcome)
        else:
            self._run_apart(waiting[processes.rank :: processes.world_size], progress)
        processes.gather(None)  # every rank's outcomes are on the disk
        found = processes.on_first(lambda: [self._found(job) for job in jobs])
        assert all(outcome is not None for outcome in found)
        return [outcome for outcome in found if outcome is not None]

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _run_apart(self, jobs: Sequence[Job], progress: Progress) -> None:
        """In processes of this rank's own, the longest trainings first."""
        if not jobs:
            return
        pool = self._started()
        futures = [pool.submit(_run, job) for job in sorted(jobs, key=_cost, reverse=True)]
        try:
            for future in as_completed(futures):
                outcome = future.result()
                self._keep(outcome)
                progress(outcome)
        except BrokenProcessPool as error:
            raise OSError(
                "a process that trained a contender was killed (out of memory?); the same command resumes the race; "
                "fewer at a time take less memory: --race.workers 1"
            ) from error
        finally:
            for future in futures:
                future.cancel()

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            session = self._session
            device: Device = "cuda" if session.processes.device.type == "cuda" else "cpu"
            self._pool = ProcessPoolExecutor(
                worker_count(session),
                mp_context=get_context("spawn"),  # fork would copy the threads' locks
                initializer=_start,
                initargs=(session.config, session.folder.path, device, os.getpid()),
            )
        return self._pool

    def _path(self, job: Job) -> Path:
        return self._session.folder.race_outcomes / f"trial_{job.index:05d}.json"

    def _found(self, job: Job) -> Outcome | None:
        """The job's outcome on the disk; one of another job (of an earlier version of this program) does not count."""
        path = self._path(job)
        if not path.exists():
            return None
        outcome = read_record(path, Outcome, self._session.space)
        return outcome if to_plain(outcome.job) == to_plain(job) else None

    def _keep(self, outcome: Outcome) -> None:
        path = self._path(outcome.job)
        path.parent.mkdir(exist_ok=True)
        write_record(path, outcome)


def worker_count(session: Session) -> int:
    """Processes of this rank that train at the same time: one on a GPU, else as configured, or one a core."""
    if session.processes.device.type == "cuda":
        return 1
    return session.config.race.workers or max(1, torch.get_num_threads())


def _cost(job: Job) -> float:
    """Rows that it trains, the wider tables' first."""
    return job.row_share * job.recipe.epochs * job.recipe.embedding_width


_WORKER: list[tuple[Session, contextlib.ExitStack]] = []
"""In a worker: its session, for as long as the process lives."""


def _start(config: RunConfig, folder: Path, device: Device, parent: int) -> None:
    """Prepare a worker: one thread, a process group of its own, the data opened."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    for name in LAUNCHER_VARIABLES:
        os.environ.pop(name, None)
    torch.set_num_threads(1)
    stack = contextlib.ExitStack()
    processes: Processes = stack.enter_context(join(device))
    run = RunFolder(folder)
    _WORKER.append((Session(config, run, processes, open_dataset(config.data, str(run.data))), stack))


def _run(job: Job) -> Outcome:
    ((session, _),) = _WORKER
    return run_job(session, job)


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone: killed outright, it could not say so."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(1)


@contextlib.contextmanager
def workers(session: Session) -> Iterator[Workers]:
    """Workers for the length of the block."""
    found = Workers(session)
    try:
        yield found
    finally:
        found.close()
