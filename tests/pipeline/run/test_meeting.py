"""pipeline/run/meeting.py: ranks wait for one another as long as they live, and no longer."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from torch import distributed

from pipeline.run import meeting
from pipeline.run.meeting import Heart, left, wait_for

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]


class SharedStore:
    """A store of this process, whose clones are itself."""

    def __init__(self) -> None:
        self._store = distributed.HashStore()

    def clone(self) -> "SharedStore":
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A store, and hearts that beat fast."""
    monkeypatch.setattr(meeting, "BEAT_S", 0.05)
    monkeypatch.setattr(meeting, "SILENCE_S", 0.5)
    return SharedStore()


def test_a_living_rank_is_waited_for(store: Any) -> None:
    """A rank that comes after three times the longest silence, beating, is waited for; one that is there, is not."""
    store.set("here", "")
    wait_for(store, {2: "here"})
    heart = Heart(store, 1)
    threading.Timer(1.5, lambda: store.set("come", "")).start()
    started = time.monotonic()
    wait_for(store, {1: "come", 2: "here"})
    assert time.monotonic() - started > 1.4
    heart.stop()


def test_a_silent_rank_is_gone(store: Any) -> None:
    """A rank whose heart stands still, or never beat, is named; the others are not blamed."""
    living, dead = Heart(store, 1), Heart(store, 2)
    dead.stop()
    with pytest.raises(ConnectionError, match="rank 2 has not been heard of for"):
        wait_for(store, {1: "come", 2: "come too"})
    with pytest.raises(ConnectionError, match="rank 3 has not been heard of for"):
        wait_for(store, {1: "come", 3: "never"})
    living.stop()


def test_a_rank_that_left_is_not_waited_for(store: Any) -> None:
    """A rank that ended by itself is noticed within a beat, unless it had come before it left."""
    heart = Heart(store, 1)
    store.set(left(1), "")
    with pytest.raises(ConnectionError, match="rank 1 has ended before the others"):
        wait_for(store, {1: "come"})
    store.set("come", "")
    wait_for(store, {1: "come"})
    heart.stop()


KILLED = """
import os, signal, sys, time
from pipeline.run import meeting
from pipeline.run.processes import join
meeting.SILENCE_S, meeting.BEAT_S = 5.0, 0.2
def die():
    os.kill(os.getpid(), signal.SIGKILL)
with join("cpu") as processes:
    processes.gather(0)
    try:
        if sys.argv[1] == "first":
            processes.on_first(die)
        elif processes.rank:
            die()
        processes.gather(1)
    except ConnectionError as error:
        print(error, flush=True)
"""


@pytest.mark.slow
def test_a_killed_rank_is_noticed(ranks: Ranks) -> None:
    """Rank 0, which keeps the store, killed in a stage of its own; rank 1 killed on its way: the other one says so."""
    first = ranks(2, KILLED, "first", check=False)
    assert [process.returncode for process in first] == [-9, 0]
    assert "the process that kept the ranks' store is gone" in first[1].stdout
    second = ranks(2, KILLED, "second", check=False)
    assert [process.returncode for process in second] == [0, -9]
    assert "rank 1 has not been heard of for" in second[0].stdout
