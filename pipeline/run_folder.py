"""A run is a folder: its configuration, what every stage wrote, and where a stage goes on after it was stopped."""

import dataclasses
import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.files import atomic_write, read_json, write_json


class RunFolder:
    """Paths of a run, and the check that the folder belongs to this configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.data = path / "data"
        self.metrics = path / "metrics.jsonl"
        self.candidates = path / "candidates.jsonl"
        self.search_state = path / "search_state.json"
        self.winners = path / "winners.json"
        self.results = path / "results.json"
        self.codesign = path / "codesign.json"
        self.codesign_measurements = path / "codesign_measurements.json"
        self.model = path / "model.pt"
        self.report = path / "report.html"
        self.timings = path / "timings.json"
        self.tensorboard = path / "tensorboard"

    def checkpoints(self, stage: str) -> Path:
        """Folder of a training stage's checkpoints, for example `supernet` or `retrain/winner_1`."""
        return self.path / "checkpoints" / stage

    def result(self, stage: str) -> Path:
        """File that a finished training stage leaves: what it measured."""
        return self.checkpoints(stage) / "result.json"

    def claim(self, config: dict[str, Any], free: frozenset[str]) -> None:
        """Write the configuration into a new folder, or check that the folder holds the same one.

        Fields named in `free` (dotted) may differ between two runs of the same command. Raises ValueError saying which
        others differ: a run's stages must all belong to one configuration.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.config.exists():
            write_json(self.config, config)
            return
        there, here = _flat(read_json(self.config)), _flat(json.loads(json.dumps(config)))
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
        timings = read_json(self.timings) if self.timings.exists() else {"stages": {}}
        entry = timings["stages"].get(stage, {"wall_s": 0.0, "cpu_s": 0.0, "peak_gb": 0.0})
        timings["stages"][stage] = {
            "wall_s": round(entry["wall_s"] + time.monotonic() - wall, 2),
            "cpu_s": round(entry["cpu_s"] + time.process_time() - cpu, 2),
            "peak_gb": round(max(entry["peak_gb"], peak_gb), 3),
        }
        write_json(self.timings, timings)


class MetricsLog:
    """One stage's lines in metrics.jsonl, and its curves for TensorBoard."""

    def __init__(self, run: RunFolder, stage: str, first_step: int) -> None:
        """Opens the log at `first_step`: this stage's lines behind it, left by a killed run, are dropped."""
        from torch.utils.tensorboard import SummaryWriter  # 0.5 s to import, needed on rank 0 only

        self.stage = stage
        kept = [line for line in _complete_lines(run.metrics) if not _is_after(line, stage, first_step)]
        with atomic_write(run.metrics, text=True) as file:
            file.writelines(kept)
        self.file = run.metrics.open("a", encoding="utf-8")
        self.board = SummaryWriter(str(run.tensorboard / stage), purge_step=first_step + 1)

    def write(self, values: dict[str, float | int]) -> None:
        """Append one line; `values` holds `step`. It is on disk when this returns."""
        self.file.write(json.dumps({"stage": self.stage, **values}) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        for name, value in values.items():
            if name != "step":
                self.board.add_scalar(name, value, values["step"])

    def close(self) -> None:
        """Close the files."""
        self.file.close()
        self.board.close()


def _complete_lines(path: Path) -> list[str]:
    """The file's whole lines; a last line cut by a kill is left out."""
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def _is_after(line: str, stage: str, step: int) -> bool:
    entry = json.loads(line)
    return bool(entry["stage"] == stage and entry["step"] > step)


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
