"""pipeline/data/prepare/workers.py: results of all tasks, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.data.prepare.workers import run_tasks

ROOT = Path(__file__).parents[4]


def test_failures_come_out() -> None:
    """Every task runs; what one raises is raised here."""
    assert sorted(run_tasks(abs, [-1, 2, -3], processes=2, threads=1)) == [1, 2, 3]
    for processes in (1, 2):
        with pytest.raises(ValueError, match="invalid literal"):
            list(run_tasks(int, ["1", "x", "2"], processes=processes, threads=1))


def test_a_killed_worker() -> None:
    """A process that is killed, as for want of memory, is an error that says so, not a hang."""
    with pytest.raises(ValueError, match="a process was killed"):
        list(run_tasks(os._exit, [9, 9], processes=2, threads=1))


@pytest.mark.slow
def test_workers_end_with_their_parent() -> None:
    """When the parent is killed, its processes stop in the middle of their tasks."""
    code = """
import time
from pipeline.data.prepare.workers import run_tasks
if __name__ == "__main__":
    list(run_tasks(time.sleep, [600, 600], processes=2, threads=1))
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
    members = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    deadline = time.monotonic() + 300
    while len(children := members.read_text().split()) < 3 and time.monotonic() < deadline:  # and multiprocessing's own
        time.sleep(0.05)
    time.sleep(1)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(alive(int(child)) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(children) == 3 and not any(alive(int(child)) for child in children)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
