"""What checkpoints beside training cost, in CPU-seconds over those of the training that they are written beside.

    python -m benchmarks.checkpoint [--minutes 5] [--rows 400000] [--table-rows 300000]

DLRM is trained on a generated log by the product's own loop, without saves; then saves of it are made as the loop makes
them: the check for values that are not finite, the copy, and the thread that writes. A training of many default
intervals takes hours, so the overhead is a save's CPU-seconds over those that training takes in one interval. Both
count all threads of the process; wall-clock seconds depend on what else runs.
"""

import dataclasses
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
import tyro

from modules.space.handmade import handmade
from pipeline.config import RetrainConfig, RunConfig
from pipeline.data import DataConfig
from pipeline.run.background_saves import BackgroundSaves
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.processes import join
from pipeline.run.records.recipe import Recipe
from pipeline.session import open_session
from pipeline.training import loop
from pipeline.training.config import UpkeepConfig, training_config
from pipeline.training.stage import train_to_end
from pipeline.training.standalone import build, build_trainee


@dataclass(frozen=True)
class CheckpointConfig:
    """What is trained, and how often it is saved."""

    minutes: float = UpkeepConfig.checkpoint_minutes
    """Wall-clock minutes between checkpoints, above 0."""
    rows: int = 400_000
    """Rows that are generated."""
    table_rows: int = 300_000
    """Largest table; with the log's 26 tables it decides how large a checkpoint is."""
    saves: int = 5
    """Saves that are timed, at least 1."""
    folder: str = ""
    """Where the run lies; empty: a temporary folder."""


@dataclass
class Clock:
    """Wall-clock and CPU-seconds of this process, all threads together."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> "Clock":
        """As they stand."""
        return cls(time.monotonic(), time.process_time())

    def since(self, before: "Clock") -> "Clock":
        """The difference."""
        return Clock(self.wall_s - before.wall_s, self.cpu_s - before.cpu_s)


def measure(config: CheckpointConfig, folder: Path) -> dict[str, float]:
    """Train without saves, then save what was trained; seconds of each, and a checkpoint's size."""
    run = RunConfig(
        run="saved",
        runs=str(folder),
        device="cpu",
        data=DataConfig(rows=config.rows, max_table_rows=config.table_rows, numbering="hash"),
        retrain=RetrainConfig(checkpoint_minutes=0.0),
    )
    with join("cpu") as processes, open_session(run, processes) as session:
        recipe = Recipe(batch_size=512, embedding_width=16)
        contender = build(session, "handmade/dlrm", "dlrm", handmade("dlrm", session.shape), recipe)
        trainee = build_trainee(contender.session, contender.network, recipe)
        began = Clock.now()
        with mock.patch.object(loop, "check_finite", side_effect=loop.check_finite) as checked:
            train_to_end(contender.session, trainee, training_config(recipe, session.config.retrain), contender.stage)
        trained = Clock.now().since(began)
        assert checked.call_count == 1
        checkpoints = Checkpoints(folder / "saves", processes)
        saves, step, whole, waited_s = BackgroundSaves(checkpoints), 0, Clock.now(), 0.0
        for step in range(1, config.saves + 1):
            start = time.monotonic()
            loop.check_finite(trainee, torch.zeros(()), "benchmark", processes)
            saves.begin(step, trainee.tensors(), {"step": step})
            waited_s += time.monotonic() - start
            saves.collect()
        saved = Clock.now().since(whole)
        saves.close()
        size = sum(path.stat().st_size for path in (folder / "saves" / f"step_{step:08d}").iterdir())
    return {
        "train_wall_s": trained.wall_s,
        "train_cpu_s": trained.cpu_s,
        "save_cpu_s": saved.cpu_s / config.saves,
        "save_wall_s": saved.wall_s / config.saves,
        "step_waits_s": waited_s / config.saves,
        "checkpoint_mb": size / 1e6,
    }


def main(config: CheckpointConfig) -> int:
    """Measure, print."""
    home = Path(config.folder or tempfile.mkdtemp())
    try:
        found = measure(config, home)
    finally:
        if not config.folder:
            shutil.rmtree(home)
    interval_cpu_s = 60 * config.minutes * found["train_cpu_s"] / found["train_wall_s"]
    overhead = found["save_cpu_s"] / interval_cpu_s
    for name, value in {**found, "interval_cpu_s": interval_cpu_s}.items():
        print(f"{name:<16} {value:10.2f}")
    print(json.dumps({"overhead": round(overhead, 5), **dataclasses.asdict(config)}))
    return int(overhead > 0.03)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(CheckpointConfig, description=__doc__)))
