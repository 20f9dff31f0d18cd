"""Does the search beat hand-made models on the generated log, whose best possible log loss is known?

    python -m benchmarks.planted [--seeds 3] [--rows 200000] [--folder /tmp/planted]

Runs the default chain (what `make search` runs) with several seeds, one after the other, each in a process of its own,
and compares the exported model with the best hand-made one that was trained to the end, at equal budget and with a
recipe of its own. A run that is there already is read. The last line is JSON:

    winner_logloss, best_handmade_logloss   mean test log loss over the runs (each a mean over its trainings' seeds)
    gap_closed                              (best hand-made − winner) / (best hand-made − best possible)
    minutes                                 wall-clock of the longest run
"""

import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from modules.space import SPACES
from pipeline.run.records.codec import read_record
from pipeline.run.records.progress import Timings
from pipeline.run.records.results import Results


@dataclass(frozen=True)
class PlantedConfig:
    """Run the default chain with several seeds."""

    seeds: int = 3
    """Runs, with --seed 0, 1, …, at least 1."""
    rows: int = 200_000
    """Rows of the generated log."""
    folder: str = "/tmp/planted"
    """Where the runs are."""
    arguments: str = ""
    """Further arguments of the chain, as one text: --arguments="--minutes 10 --retrain.seeds 2"."""


def run(config: PlantedConfig, seed: int) -> Results:
    """One run of the chain, to its end; prints what it found."""
    name = f"rows_{config.rows}_seed_{seed}"
    sizes = ["--data.rows", str(config.rows), "--seed", str(seed), "--runs", config.folder, "--run", name]
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "pipeline.chain", *sizes, *shlex.split(config.arguments)], check=True)
    folder = Path(config.folder) / name
    results = read_record(folder / "results.json", Results, SPACES["open"])
    stages = read_record(folder / "timings.json", Timings).stages
    minutes = {stage: round(timing.wall_s / 60, 1) for stage, timing in stages.items()}
    print(f"{name}: {time.monotonic() - began:.0f} s now; minutes by stage {minutes}")
    for model in results.models:
        comparison = results.comparison(model)
        beside = "" if comparison is None else f" (best {comparison.low:+.4f} … {comparison.high:+.4f} from it)"
        print(f"  {model.title}: test {model.test.log_loss:.5f}, averaged {model.ensemble.test.log_loss:.5f}{beside}")
    return results


def main(config: PlantedConfig) -> dict[str, float]:
    """All runs; returns the last line."""
    runs = [run(config, seed) for seed in range(config.seeds)]
    winners, by_hand, possible = [], [], []
    for results in runs:
        handmade, oracle = results.best_handmade, results.oracle_test_log_loss
        assert handmade is not None and oracle is not None, "generated data, and hand-made models in the race"
        winners.append(results.best_model.test.log_loss)
        by_hand.append(handmade.test.log_loss)
        possible.append(oracle)
    winner, best, oracle = (sum(values) / len(values) for values in (winners, by_hand, possible))
    folders = [Path(config.folder) / f"rows_{config.rows}_seed_{seed}" for seed in range(config.seeds)]
    walls = [sum(t.wall_s for t in read_record(own / "timings.json", Timings).stages.values()) for own in folders]
    return {
        "winner_logloss": round(winner, 5),
        "best_handmade_logloss": round(best, 5),
        "gap_closed": round((best - winner) / (best - oracle), 3),
        "minutes": round(max(walls) / 60, 1),
    }


if __name__ == "__main__":
    print(json.dumps(main(tyro.cli(PlantedConfig))))
