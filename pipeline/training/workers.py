"""Who trains models from scratch: processes with one thread each, each alone, or all ranks together.

A training apart from others is a function of its input alone: it does not matter which process does it, nor on how many
ranks the run is.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from pipeline.config import RunConfig
from pipeline.data import open_dataset
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Device, Processes, join
from pipeline.run.stopping import STATUS, Stopped, sigterm_stops
from pipeline.session import Session

LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")
"""What torchrun tells a rank, and a worker, whose process group has itself alone, must not hear."""
ORPHAN_CHECK_S = 2.0
"""Seconds between a worker's looks at whether the process that started it is still there."""

Item = TypeVar("Item")
Found = TypeVar("Found")


class Workers:
    """Trains; every rank calls `each` with the same items."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pool: ProcessPoolExecutor | None = None

    def each(
        self, function: Callable[[Session, Item], Found], items: Sequence[Item], done: Callable[[Found], None]
    ) -> None:
        """Calls `function(session, item)` for each item, in processes of the ranks' own or on all ranks at once.

        `done` is told what each call gave: on one rank, the one that started the process, or on all. Calls start in the
        items' order. The function must be one of a module's, for a fresh process to find it. What it raises is raised
        here, on every rank.
        """
        processes = self._session.processes
        if self._session.config.race.trained == "together":
            for item in items:
                done(function(self._session, item))
            return
        error: Exception | None = None
        try:
            self._apart(function, items[processes.rank :: processes.world_size], done)
        except Exception as raised:  # the other ranks must not wait for this one for ever
            error = raised
        errors = [found for found in processes.gather(error) if found is not None]
        if errors:
            raise errors[0]

    def close(self, at_once: bool = False) -> None:
        """End the processes; `at_once`: in the midst of what they train, which a resumed run goes on with from the
        checkpoint that a training of a stage then leaves, or trains again."""
        if self._pool is not None:
            for process in active_children() if at_once else ():
                process.terminate()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _apart(
        self, function: Callable[[Session, Item], Found], items: Sequence[Item], done: Callable[[Found], None]
    ) -> None:
        if not items:
            return
        pool = self._started()
        futures = [pool.submit(_call, function, item) for item in items]
        try:
            for future in as_completed(futures):
                done(future.result())
        except BrokenProcessPool as error:
            raise OSError(
                "a process that trained a contender was killed (out of memory?); the same command resumes; fewer at a "
                "time take less memory: --race.workers 1"
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


def worker_count(session: Session) -> int:
    """Processes of this rank that train at the same time: one on a GPU, else as configured, or one a core."""
    if session.processes.device.type == "cuda":
        return 1
    return session.config.race.workers or max(1, torch.get_num_threads())


_WORKER: list[tuple[Session, contextlib.ExitStack]] = []
"""In a worker: its session, for as long as the process lives."""


def _start(config: RunConfig, folder: Path, device: Device, parent: int) -> None:
    """Prepare a worker: one thread, a process group of its own, the data opened."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    for name in LAUNCHER_VARIABLES:
        os.environ.pop(name, None)
    torch.set_num_threads(1)
    _draw_no_bars()
    stack = contextlib.ExitStack()
    stack.enter_context(sigterm_stops())
    processes: Processes = stack.enter_context(join(device))
    run = RunFolder(folder)
    _WORKER.append((Session(config, run, processes, open_dataset(config.data, str(run.data))), stack))


def _draw_no_bars() -> None:
    """Disable this process's progress bars: the parent has one of its own."""
    draw = tqdm.__init__

    def draw_nothing(bar: Any, *arguments: Any, **options: Any) -> None:
        draw(bar, *arguments, **{**options, "disable": True})

    setattr(tqdm, "__init__", draw_nothing)  # noqa: B010  mypy knows no other way to replace a method


def _call(function: Callable[[Session, Any], Any], item: Any) -> Any:
    ((session, _),) = _WORKER
    try:
        return function(session, item)
    except Stopped:
        os._exit(STATUS)  # the pool would give it the next item


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone: killed outright, it could not say so."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(1)


@contextlib.contextmanager
def workers(session: Session, given: Workers | None = None) -> Iterator[Workers]:
    """Workers for the length of the block, or those given: a process takes seconds to start, so stages share them."""
    found = given or Workers(session)
    try:
        yield found
    except BaseException:
        if given is None:
            found.close(at_once=True)
        raise
    if given is None:
        found.close()
