"""SIGTERM ends a program at once, or waits for a block that holds it back."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.run.stopping import STATUS, Stopped, held_back, is_stop_asked, sigterm_stops

PROJECT = Path(__file__).resolve().parents[3]


def terminate() -> None:
    """Send this process the signal."""
    os.kill(os.getpid(), signal.SIGTERM)


def test_it_raises() -> None:
    """Where nothing holds it back it raises Stopped, an exit with 143; afterwards the handler of before is back."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as raised, sigterm_stops():
        terminate()
    assert raised.value.code == STATUS == 143
    assert signal.getsignal(signal.SIGTERM) is before and not is_stop_asked()


def test_it_is_held_back() -> None:
    """In a block that holds it back it is only noted, and raised at the end of the outermost one."""
    done = []
    with sigterm_stops():
        with pytest.raises(Stopped), held_back():
            with held_back():
                assert not is_stop_asked()
                terminate()
                assert is_stop_asked()
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"] and not is_stop_asked()


def test_an_error_is_not_hidden() -> None:
    """What a block raises is raised, also when the signal came in it."""
    with sigterm_stops(), pytest.raises(ValueError, match="mine"), held_back():
        terminate()
        raise ValueError("mine")


def test_without_a_signal_nothing_happens() -> None:
    """Blocks end as they do without it."""
    with sigterm_stops(), held_back():
        assert not is_stop_asked()


@pytest.mark.slow
def test_uncaught_it_ends_quietly() -> None:
    """A program that does not catch it ends with 143 and without a traceback."""
    program = (
        "import os\nfrom pipeline.run.stopping import sigterm_stops\nwith sigterm_stops(): os.kill(os.getpid(), 15)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (143, "")
