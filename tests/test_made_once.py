"""tests/made_once.py: one process makes, others wait and find it; what failed is made anew."""

import multiprocessing
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.made_once import made_once


def process(shared: Path, worker: str) -> None:
    """A worker of pytest-xdist that needs the folder."""
    os.environ["PYTEST_XDIST_WORKER"] = worker
    factory: Any = SimpleNamespace(getbasetemp=lambda: shared / worker)

    def make(folder: Path) -> None:
        (folder / worker).touch()
        time.sleep(0.3)  # the others come meanwhile
        (folder / "whole").touch()

    assert (made_once(factory, "dear", make) / "whole").exists()


def test_workers_make_it_once(tmp_path: Path) -> None:
    """Of four processes at once one makes it, in the folder that they share, and none finds it half made."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=process, args=(tmp_path, f"gw{number}")) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(list((tmp_path / "dear").glob("gw*"))) == 1


def test_without_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process keeps it in its own folder; what failed leaves nothing behind that counts."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    factory: Any = SimpleNamespace(getbasetemp=lambda: tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        made_once(factory, "dear", fail)
    found = made_once(factory, "dear", lambda folder: (folder / "whole").touch())
    assert found == tmp_path / "dear" and [path.name for path in found.iterdir()] == ["whole"]
    assert made_once(factory, "dear", fail) == found
