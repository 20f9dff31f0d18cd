"""Tasks on all cores, each in a process of a pool; the first failure ends them all, and none outlives its parent."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import TypeVar

import pyarrow as pa

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], processes: int, threads: int
) -> Iterator[Result]:
    """What `function` returns for each task, in the order they end; each process gives Arrow `threads` threads.

    A single process is this one.
    """
    if processes == 1:
        yield from map(function, tasks)
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_start, initargs=(threads,)
    )
    try:
        futures = [pool.submit(function, task) for task in tasks]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise ValueError("a process was killed, perhaps for want of memory; use fewer --processes") from error
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    pa.set_cpu_count(threads)
    pa.set_io_thread_count(max(1, threads))
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
