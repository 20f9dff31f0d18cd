"""Kill a run with SIGKILL at random moments of all its stages, and see that it ends as if nothing had happened.

    python -m benchmarks.kill_and_resume [--kills 10] [--seed 0] [--folder F] [arguments of pipeline.chain, e.g. quick]

The chain runs once undisturbed and once killed: each time the whole process group, each time the same command again,
until it ends. Then every file that a run promises to reproduce is compared byte by byte. Exit status 1 if one differs.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

PROJECT = Path(__file__).resolve().parent.parent
RUN = "compared"
REPRODUCED = (
    "config.json",
    "candidates.jsonl",
    "candidates.parquet",
    "winners.json",
    "race.jsonl",
    "race.json",
    "results.json",
    "codesign_measurements.json",
    "codesign.json",
    "model.pt",
    "model.json",
)
"""Files that are the same bytes however often a run was killed. The report and timings.json hold wall-clock times."""
REPRODUCED_BY_TRAININGS = ("metrics.jsonl", "result.json", "*_logits_of_*.npy")
"""Likewise, in every training stage's folder in checkpoints/."""

BEGINNINGS = {
    "start": ".",
    "supernet": "config.json",
    "search": "checkpoints/supernet/result.json",
    "race": "winners.json",
    "retrain": "race.json",
    "codesign": "results.json",
    "export": "codesign.json",
}
"""Stage -> what is in the run folder when it begins."""


@dataclass(frozen=True)
class Kill:
    """When a process group was killed."""

    stage: str
    """The stage aimed at."""
    delay_s: float
    """Time after the stage's beginning, or after the restart's first line in it, s."""
    hit: bool
    """Whether the process still ran then."""


def run_chain(folder: Path, arguments: Sequence[str]) -> float:
    """The chain undisturbed, in `folder`/runs; returns the seconds to its first line."""
    process = _start(folder, arguments)
    began = time.monotonic()
    _wait(process, lambda: _has_begun(folder, "supernet"))
    first_line_s = time.monotonic() - began
    _end(process, folder)
    return first_line_s


def kill_and_resume(
    undisturbed: Path, first_line_s: float, folder: Path, arguments: Sequence[str], kills: int, seed: int
) -> list[Kill]:
    """The chain killed `kills` times on its way to the end. The moments are drawn from the undisturbed run's times."""
    generator = numpy.random.default_rng(seed)
    stages = json.loads((undisturbed / "runs" / RUN / "timings.json").read_text())["stages"]
    seconds = {"start": first_line_s, **{name: entry["wall_s"] for name, entry in stages.items()}}
    order = [name for _ in range(-(-kills // len(seconds))) for name in generator.permutation(list(BEGINNINGS))][:kills]
    done = []
    for stage in sorted(order, key=list(BEGINNINGS).index):
        delay_s = float(generator.uniform(0, seconds[stage]))
        process = _start(folder, arguments)
        _wait(process, lambda stage=stage: _has_begun(folder, stage))  # type: ignore[misc]
        time.sleep(delay_s)
        hit = process.poll() is None
        if hit:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        done.append(Kill(stage, delay_s, hit))
    _end(_start(folder, arguments), folder)
    return done


def differing(first: Path, second: Path) -> list[str]:
    """Files of the two runs that differ, and what only one of them has (TensorBoard's files carry times)."""
    runs = [folder / "runs" / RUN for folder in (first, second)]
    names = [{str(path.relative_to(run)) for path in run.rglob("*") if "tensorboard" not in path.parts} for run in runs]
    of_trainings = {
        str(path.relative_to(runs[0]))
        for pattern in REPRODUCED_BY_TRAININGS
        for path in runs[0].glob(f"checkpoints/**/{pattern}")
    }
    compared = [*REPRODUCED, *sorted(of_trainings & names[1])]
    changed = [name for name in compared if (runs[0] / name).read_bytes() != (runs[1] / name).read_bytes()]
    return changed + sorted(names[0] ^ names[1])


def _start(folder: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """The chain in a process group of its own; what it prints replaces `folder`/printed.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pipeline.chain", *arguments, "--runs", "runs", "--run", RUN]
    with (folder / "printed.txt").open("wb") as printed:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _has_begun(folder: Path, stage: str) -> bool:
    """Whether the process last started has come to the stage; its first line says that it has opened the run."""
    return stage == "start" or (
        (folder / "printed.txt").read_bytes().startswith(b"data ")
        and (folder / "runs" / RUN / BEGINNINGS[stage]).exists()
    )


def _wait(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    while not condition() and process.poll() is None:
        time.sleep(0.005)


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for a good end. Raises RuntimeError with what the process printed last otherwise."""
    if process.wait() != 0:
        printed = (folder / "printed.txt").read_text(errors="replace")
        raise RuntimeError(f"the chain ended with status {process.returncode}:\n{printed[-3000:]}")


def main() -> int:
    """Run, kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="how often to kill")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--folder", type=Path, help="new folder for both runs; default: a temporary one")
    options, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        undisturbed, killed = folder / "undisturbed", folder / "killed"
        first_line_s = run_chain(undisturbed, arguments)
        kills = kill_and_resume(undisturbed, first_line_s, killed, arguments, options.kills, options.seed)
        differences = differing(undisturbed, killed)
    print(f"{'kill':>4}  {'stage':<10} {'after s':>8}")
    for number, kill in enumerate(kills, start=1):
        print(f"{number:>4}  {kill.stage:<10} {kill.delay_s:>8.2f}{'' if kill.hit else '  (had ended)'}")
    compared = ", ".join([*REPRODUCED, *REPRODUCED_BY_TRAININGS])
    print(f"files that differ: {', '.join(differences) or f'none of {compared}'}")
    hits = sum(kill.hit for kill in kills)
    print(json.dumps({"kills": hits, "seed": options.seed, "arguments": arguments, "differing": differences}))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
