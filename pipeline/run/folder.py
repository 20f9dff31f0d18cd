"""A run is a folder: its paths, its lock, and the check that it belongs to one configuration and format."""

import dataclasses
import fcntl
import json
import os
import resource
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from pipeline.run.files import read_json, write_json
from pipeline.run.records.codec import RUN_FORMAT, check_run_format, read_record, write_record
from pipeline.run.records.progress import StageTiming, Timings


class RunFolder:
    """Paths of a run, and the check that the folder belongs to this configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "lock"
        self.config = path / "config.json"
        self.data = path / "data"
        self.data_files = path / "data" / "files.json"
        self.candidates = path / "candidates.jsonl"
        self.candidates_table = path / "candidates.parquet"
        self.winners = path / "winners.json"
        self.race_trials = path / "race.jsonl"
        self.race = path / "race.json"
        self.race_outcomes = path / "race"
        self.rank_study = path / "rank_study.json"
        self.rank_study_outcomes = path / "rank_study"
        self.results = path / "results.json"
        self.trees = path / "trees.json"
        self.codesign = path / "codesign.json"
        self.codesign_measurements = path / "codesign_measurements.json"
        self.model = path / "model.pt"
        self.report = path / "report.html"
        self.timings = path / "timings.json"
        self.tensorboard = path / "tensorboard"

    def table_plan(self, digest: str) -> Path:
        """File of the plan that says which rank holds which rows of a set of tables."""
        return self.path / "plans" / f"tables_{digest}.json"

    def checkpoints(self, stage: str) -> Path:
        """Folder of a training stage's checkpoints, for example `supernet` or `retrain/handmade/dlrm/seed_0`.

        Raises ValueError for a name that leads out of there: a model's name in a record may be a stranger's.
        """
        if any(part in ("", ".", "..") for part in stage.split("/")) or "\0" in stage:
            raise ValueError(f"{stage!r} names no training stage of {self.path}: it leads out of its folder")
        return self.path / "checkpoints" / stage

    def result(self, stage: str) -> Path:
        """File that a finished training stage leaves: what it measured."""
        return self.checkpoints(stage) / "result.json"

    def metrics(self, stage: str) -> Path:
        """File of a training stage's metrics, a line now and then."""
        return self.checkpoints(stage) / "metrics.jsonl"

    def all_metrics(self) -> list[Path]:
        """The metrics of all training stages that there are, the supernet's first."""
        found = sorted(self.path.glob("checkpoints/**/metrics.jsonl"))
        return sorted(found, key=lambda path: path != self.metrics("supernet"))

    def logits(self, stage: str, split: str, ranks: int) -> Path:
        """File of a trained network's logits on a split's rows, in the order in which so many ranks read them."""
        return self.checkpoints(stage) / f"{split}_logits_of_{ranks}.npy"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and be its only writer for the length of the block.

        The kernel gives a killed process's lock back; what such a process left half-written is removed. A folder that
        nobody claimed in the block goes again, if it is empty. Raises ValueError naming the process that holds the
        lock, or a symbolic link in the folder.
        """
        self._refuse_links()
        with _open_lock(self.lock) as handle:
            if not _take(handle, self.lock):
                raise ValueError(
                    f"{self.path} is being written by another process ({handle.read().strip() or 'just starting'}): "
                    "wait until it ends or stop it, or give this run a name of its own with --run"
                )
            handle.truncate(0)
            handle.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
            handle.flush()
            self._remove_leftovers()
            try:
                yield
            finally:
                if not self.config.exists():
                    self.lock.unlink()
                    with suppress(OSError):  # not empty
                        self.path.rmdir()

    def _refuse_links(self) -> None:
        """Raise ValueError naming a symbolic link, through which a run would write into files outside its folder."""
        for folder, folders, files in os.walk(self.path):
            for name in (*folders, *files):
                if os.path.islink(os.path.join(folder, name)):
                    raise ValueError(
                        f"{os.path.join(folder, name)} is a symbolic link, and a run writes into its own folder only; "
                        "put the file itself there, or the whole folder of runs elsewhere (--runs)"
                    )

    def _remove_leftovers(self) -> None:
        """Remove what killed writers left beside the files they would have become."""
        for path in [*self.path.rglob("*.tmp-*"), *self.path.glob("checkpoints/**/partial_*")]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def claim(self, config: dict[str, Any], free: frozenset[str]) -> None:
        """Write the configuration into a new folder, or check that the folder holds the same one."""
        self.check(config, free)
        if not self.config.exists():
            write_json(self.config, {"format": RUN_FORMAT, **config})

    def check(self, config: dict[str, Any], free: frozenset[str]) -> None:
        """Raise ValueError when the folder holds a run of another format, or of another configuration, saying which
        fields differ.

        A run's stages must all belong to one configuration. Fields named in `free` (dotted) may differ between two runs
        of the same command.
        """
        if not self.config.exists():
            return
        document = read_json(self.config)
        check_run_format(document, self.config)
        there, here = _flat(document), _flat({"format": RUN_FORMAT, **json.loads(json.dumps(config))})
        changed = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
        differing = [name for name in changed if name not in free]
        if differing:
            lines = [f"  {name}: {there.get(name)!r} there, {here.get(name)!r} here" for name in differing]
            raise ValueError(
                f"{self.path} holds a run of another configuration:\n" + "\n".join(lines) + "\n"
                "give this run a name of its own with --run, or use the settings it was begun with"
            )

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's wall and CPU seconds, and the process's peak memory, to timings.json."""
        wall, cpu = time.monotonic(), time.process_time()
        yield
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        stages = read_record(self.timings, Timings).stages if self.timings.exists() else {}
        before = stages.get(stage, StageTiming(0.0, 0.0, 0.0))
        timing = StageTiming(
            wall_s=round(before.wall_s + time.monotonic() - wall, 2),
            cpu_s=round(before.cpu_s + time.process_time() - cpu, 2),
            peak_gb=round(max(before.peak_gb, peak_gb), 3),
        )
        write_record(self.timings, Timings({**stages, stage: timing}))


def _open_lock(path: Path) -> IO[str]:
    """The lock file, made if need be, at its beginning."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a+", encoding="utf-8")
    handle.seek(0)
    return handle


def _take(handle: IO[str], path: Path) -> bool:
    """Lock the open file; False when another process has it, or has just done with it and removed it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return path.exists() and os.path.samestat(os.fstat(handle.fileno()), path.stat())


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: entry
        for key, inner in value.items()
        for name, entry in _flat(inner, f"{prefix}.{key}" if prefix else key).items()
    }


def plain(config: Any) -> dict[str, Any]:
    """A configuration dataclass as plain JSON values."""
    result: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return result
