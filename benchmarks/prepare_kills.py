"""Kill prepare with SIGKILL at random moments, run it again, and compare every byte with an uninterrupted run.

    python -m benchmarks.prepare_kills [--kills 20] [--rows 400000] [--numbering hash]

The run is killed until it has been hit so often; a run that ends before its kill is started in a new folder, whose
result is compared too. Last line: JSON.
"""

import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from pipeline.data.generate.logs import GenerateConfig, generate

PROJECT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class KillsConfig:
    """How often, and what."""

    kills: int = 20
    """Kills that hit."""
    rows: int = 400_000
    """Rows, over 8 days."""
    numbering: Literal["hash", "vocabulary"] = "vocabulary"
    """Of prepare."""
    seed: int = 0
    """Of the moments."""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stages_done(folder: Path) -> str:
    """How far a killed run had come."""
    counts, sizes, parts = (len(list((folder / "work" / name).glob("*.*"))) for name in ("counts", "sizes", "parts"))
    return f"{counts} files counted, {sizes} vocabularies, {parts} files prepared"


def run(config: KillsConfig, home: Path) -> dict[str, object]:
    """Kills and comparisons; returns the figures."""
    generate(GenerateConfig(str(home / "raw"), config.rows, 8, format="tsv", compression="gz"))
    generator = np.random.Generator(np.random.PCG64(config.seed))

    def start(folder: Path) -> subprocess.Popen[bytes]:
        options = ["--path", f"{home}/raw/day_*", "--schema", "criteo", "--folder", str(folder)]
        command = [sys.executable, "-m", "pipeline.data.prepare", *options, "--numbering", config.numbering]
        return subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL)

    started = time.monotonic()
    assert start(home / "whole").wait() == 0
    seconds, expected = time.monotonic() - started, contents(home / "whole")
    hits, differing, finished = 0, set[str](), 0
    while True:
        folder = home / f"killed_{finished}"
        process = start(folder)
        try:
            # Long enough to get on, short enough to be hit several times before the end.
            process.wait(None if hits == config.kills else generator.uniform(0.2, 0.7) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            hits += 1
            print(f"kill {hits:2}: {stages_done(folder)}", flush=True)
            continue
        found = contents(folder)
        differing |= {name for name in found | expected if found.get(name) != expected.get(name)}
        finished += 1
        if hits == config.kills:
            break
    print(f"{finished} run(s) were killed {hits} times in all; {len(expected)} files compared in each")
    return {"kills": hits, "files": len(expected), "differing_files": sorted(differing)}


if __name__ == "__main__":
    home = Path(tempfile.mkdtemp(prefix="prepare-kills-"))
    try:
        print(json.dumps(run(tyro.cli(KillsConfig, description=__doc__), home)))
    finally:
        shutil.rmtree(home)
