"""pipeline/training/workers.py: calls in processes of their own; what fails there is said here, and nothing is left."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tqdm import tqdm

from pipeline.run.processes import join
from pipeline.session import Session, open_session
from pipeline.training.workers import workers


@pytest.fixture
def session(copied: Any) -> Iterator[Session]:
    """An open session on a copy of the finished run."""
    with join("cpu") as processes, open_session(copied.config, processes) as opened:
        yield opened


def look(session: Session, item: int) -> tuple[int, int, int, int, int]:
    """What a worker is."""
    return item, os.getpid(), session.processes.world_size, torch.get_num_threads(), session.dataset.rows("train")


def fail(session: Session, item: int) -> None:
    """What a user did wrong."""
    raise ValueError(f"item {item} is wrong")


def end(session: Session, item: int) -> None:
    """Die as for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_calls_in_other_processes(session: Session) -> None:
    """Each item is called once, elsewhere, alone in its process group, with one thread, on the same data; an error
    comes back as it was raised; afterwards no process is left."""
    found: list[tuple[int, int, int, int, int]] = []
    with workers(session) as team:
        team.each(look, list(range(5)), found.append)
        assert sorted(one[0] for one in found) == list(range(5))
        assert {one[2:] for one in found} == {(1, 1, session.dataset.rows("train"))}
        others = {one[1] for one in found}
        assert os.getpid() not in others and len(others) == session.config.race.workers
        with pytest.raises(ValueError, match="item 7 is wrong"):
            team.each(fail, [7], found.append)
    assert all(_is_gone(process) for process in others)


def draw(session: Session, item: int) -> bool:
    """Whether a progress bar that insists on being drawn is drawn."""
    with tqdm(total=1, disable=False) as bar:
        return not bar.disable


@pytest.mark.slow
def test_no_bars_of_workers(session: Session) -> None:
    """Bars of several processes would overwrite one another."""
    found: list[bool] = []
    with workers(session) as team:
        team.each(draw, [0], found.append)
    assert found == [False]


@pytest.mark.slow
def test_a_killed_worker(session: Session) -> None:
    """A worker that is killed ends the call with one line that says what to do; it does not wait for ever."""
    with workers(session) as team, pytest.raises(OSError, match=r"was killed .* --race\.workers 1"):
        team.each(end, [0], print)


def _is_gone(process: int) -> bool:
    for _ in range(600):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
