"""A tiny run of the whole chain, made once, and copies of it to go on from."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from benchmarks.kill_and_resume import RUN, run_chain
from pipeline.command_line import read_command_line, run_program
from pipeline.config import RunConfig
from tests.made_once import made_once

SIZES = """
--device cpu --data.rows 1000 --data.max-table-rows 60 --model.space nasrec_small --model.embedding-width 4
--supernet.epochs 1 --supernet.batch-size 64 --supernet.validation-paths 2 --supernet.log-every 2
--supernet.checkpoint-every 6
--search.initial-population 4 --search.generations 2 --search.tournament 2 --search.children 2
--scoring.fine-tune-rows 200 --scoring.valid-rows 100
--race.generations 1 --race.promoted-share 1 --race.handmade dlrm --race.from-supernet 1
--race.supernet-rows 0 --race.random 1
--race.children 1 --race.finalists 1 --race.handmade-finalists 1 --race.tuning-trials 1
--race.recipe.batch-size 64 --race.workers 1
--retrain.seeds 2 --retrain.log-every 2 --retrain.checkpoint-every 3
--codesign.population 8 --codesign.generations 4 --codesign.rounds 1 --codesign.log-loss-measurements 5
--codesign.log-loss-rows 100 --codesign.pareto-points 4
"""

FIRST_LINE_S = "first_line_s.txt"
"""Beside runs/: how long the run took to its first line."""
TENSORS = "*.tensors"
"""The files of a checkpoint that are large."""


@dataclass(frozen=True)
class TinyRun:
    """A run's folder and the arguments that made it."""

    folder: Path
    """What `run_chain` was given: the run is in runs/ in it."""
    sizes: tuple[str, ...]
    """Arguments of the chain without the run's name and place."""
    first_line_s: float
    """Seconds from the start to the first line."""

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder / "runs" / RUN

    @property
    def arguments(self) -> list[str]:
        """Arguments of any stage's program that go on with this run."""
        return [*self.sizes, "--runs", str(self.folder / "runs"), "--run", RUN]

    def program(self, stage: Callable[..., object], *changes: str) -> int:
        """Run a stage's program on this run, in this process; returns its exit code."""
        return run_program(stage, "program", [*self.arguments, *changes])

    @property
    def config(self) -> RunConfig:
        """The run's configuration."""
        return read_command_line("program", self.arguments)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A tiny run, finished in a process of its own, once for all processes of the session. Not to be changed."""
    sizes = tuple(SIZES.split())

    def make(folder: Path) -> None:
        (folder / FIRST_LINE_S).write_text(str(run_chain(folder, sizes)))

    folder = made_once(tmp_path_factory, "finished", make)
    return TinyRun(folder, sizes, float((folder / FIRST_LINE_S).read_text()))


@pytest.fixture
def copied(finished: TinyRun, tmp_path: Path) -> Iterator[TinyRun]:
    """A copy of the finished run, for a test to change.

    The checkpoints' tensors, a quarter of a GB, are hard links to the finished run's: a test may remove or replace
    them, as the programs do, but not write into them, and fails at its end if it did.
    """

    def tensors() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in finished.path.rglob(TENSORS)}

    def copy(source: str, target: str) -> None:
        (os.link if fnmatch(source, TENSORS) else shutil.copy2)(source, target)

    before = tensors()
    shutil.copytree(finished.path, tmp_path / "runs" / RUN, copy_function=copy)
    yield TinyRun(tmp_path, finished.sizes, finished.first_line_s)
    assert tensors() == before, "the test wrote into files that it shares with other tests"
