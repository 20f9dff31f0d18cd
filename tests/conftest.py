"""Real processes for the tests that need several ranks, and a line at the end for tests that found no real logs."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="session")
def ready() -> Iterator[Any]:
    """Processes that have imported this project, to run programs in: tests/ready.py."""
    from tests.ready import ReadyProcesses

    processes = ReadyProcesses()
    yield processes
    processes.close()


@pytest.fixture
def ranks(ready: Any) -> Ranks:
    """`ranks(2, program, *arguments)`: Python source run in as many processes that torchrun would have started.

    Gives what each ended with and printed, in the order of the ranks; with `check` (the default) all must end well.
    """

    def run(count: int, program: str, *arguments: str, check: bool = True) -> list[subprocess.CompletedProcess[str]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        places = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        places = {**os.environ, **places, "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = ready.run([(program, arguments, {**places, "RANK": str(rank)}) for rank in range(count)])
        assert not check or all(process.returncode == 0 for process in ended), [process.stderr for process in ended]
        return ended

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were skipped because the real logs (../shared) are not on this machine, and why.

    pytest counts a skipped test in its last line but gives no reason there, so a run without the logs would look like
    a run with them.
    """
    reasons = {report.nodeid: str(report.longrepr[2]) for report in terminalreporter.getreports("skipped")}
    without_logs = {test: reason.removeprefix("Skipped: ") for test, reason in reasons.items() if "../shared" in reason}
    if without_logs:
        terminalreporter.section(f"{len(without_logs)} tests without their real logs")
        for test, reason in sorted(without_logs.items()):
            terminalreporter.line(f"SKIPPED {test}: {reason}")
