"""tests/ready.py: a program that a ready process runs is a process of its own, as one that is started anew."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ready import ReadyProcesses

TOLD = """
import json, os, sys
print(json.dumps([sys.argv, os.environ.get("GIVEN"), sys.stdin.read(), getattr(json, "left", None)]))
json.left = os.environ["GIVEN"]
print("complaint", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def two() -> Iterator[ReadyProcesses]:
    """Processes of these tests alone, which import little: that they are started again takes no time."""
    processes = ReadyProcesses(["json"])
    yield processes
    processes.close()


def test_programs_are_apart(two: ReadyProcesses) -> None:
    """Each has its own arguments, environment, output and status, and nothing of what another did in its process."""
    for run in ("first", "second"):
        programs = [(TOLD, [str(number), "é"], {**os.environ, "GIVEN": run}) for number in (0, 7)]
        for ended, number in zip(two.run(programs), (0, 7), strict=True):
            assert ended.returncode == number and ended.stderr == "complaint\n"
            assert json.loads(ended.stdout) == [["-c", str(number), "é"], run, "", None]


def test_how_a_program_ends(two: ReadyProcesses) -> None:
    """An error is a stack on stderr and status 1, a signal its negative number; what was flushed before is there."""
    for source, status, printed, complaint in (
        ("print(1); raise KeyError('what')", 1, "1\n", "KeyError: 'what'"),
        ("import os; print(2, flush=True); os.kill(os.getpid(), 9)", -signal.SIGKILL, "2\n", ""),
        ("import atexit; atexit.register(print, 4); print(3)", 0, "3\n4\n", ""),
    ):
        (ended,) = two.run([(source, [], os.environ)])
        assert (ended.returncode, ended.stdout) == (status, printed) and complaint in ended.stderr


def test_ranks_do_not_share_the_order_of_sets(two: ReadyProcesses) -> None:
    """Programs that run at the same time have hash seeds of their own, as processes that torchrun starts."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    first, second = two.run([("print(hash('a word'))", [], environment)] * 2)
    assert first.stdout != second.stdout or "PYTHONHASHSEED" in os.environ


@pytest.mark.slow
def test_one_that_does_not_end_is_killed(two: ReadyProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test gets an error with what it had printed, no process stays, and the next program runs in a new one."""
    source = "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"
    two.run([("", [], os.environ)] * 2)
    with monkeypatch.context() as shorter, pytest.raises(TimeoutError, match=r"after 5 s; it printed\n\d+\n") as error:
        shorter.setattr("tests.ready.MOST_S", 5.0)
        two.run([(source, [], os.environ)] * 2)
    process, deadline = int(str(error.value).splitlines()[1]), time.monotonic() + 60
    while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)  # until init has seen it end
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert two.run([("print(5)", [], os.environ)])[0].stdout == "5\n"
