"""Does the search beat hand-made models on a real log? Frappe_x1 (train negatives re-sampled) in ../shared/data.

    python -m benchmarks.frappe [--seeds 3] [--generations 5] [--baselines dlrm dnn …] [--folder /tmp/frappe]

Runs the chain once on the tuned track; the best searched and the best hand-made models (`--retrained` of each) are
trained to the end with several seeds, each with the best of as many recipe trials. The log is read where it is; nothing
of it is copied into the project. The last line is JSON: winner_auc and winner_logloss, best_baseline (by validation)
with its own, all of the mean of the seeds' logits, and multiply-accumulates a row in millions; the lines before it have
each model's mean and standard deviation over seeds.
"""

import json
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from modules.space import SPACES
from pipeline.run.records.codec import read_record
from pipeline.run.records.results import ModelResult, Results

LOG = Path(__file__).parent.parent.parent / "shared" / "data" / "frappe"
PUBLISHED_AUC = {
    "logistic_regression": 0.9356,
    "dnn": 0.9833,
    "dlrm": 0.9840,
    "deepfm": 0.9842,
    "dcn_v2": 0.9845,
    "xdeepfm": 0.9845,
    "autoint_plus": 0.9848,
    "finalnet": 0.9857,
    "finalmlp": 0.9861,
}
"""Test AUC on the official train file (BARS leaderboard, Frappe_x1)."""


@dataclass(frozen=True)
class FrappeConfig:
    """Run the chain on Frappe."""

    seeds: int = 3
    """Trainings to the end of each model, at least 1."""
    generations: int = 5
    """Generations of the race."""
    baselines: tuple[str, ...] = ("dlrm", "dcn_v2", "deepfm", "dnn", "autoint_plus", "masknet", "finalmlp", "finalnet")
    """Hand-made models that take part."""
    retrained: int = 1
    """Searched and hand-made models, each, that are trained to the end; 8 for all of the baselines."""
    folder: str = "/tmp/frappe"
    """Where the run is."""
    arguments: str = ""
    """Further arguments of the chain, as one text: --arguments="--minutes 10 --retrain.seeds 2"."""


def main(config: FrappeConfig) -> dict[str, float | str]:
    """The run and its figures; returns the last line."""
    if not LOG.is_dir():
        raise SystemExit(f"{LOG} is absent: this benchmark needs the log there")
    name = f"generations_{config.generations}"
    sizes = ["--data.path", str(LOG), "--runs", config.folder, "--run", name]
    sizes += ["--race.generations", str(config.generations), "--retrain.seeds", str(config.seeds)]
    sizes += ["--race.handmade", *config.baselines, "--race.retrained", str(config.retrained)]
    finalists = str(max(2, config.retrained))
    sizes += ["--race.finalists", finalists, "--race.handmade-finalists", finalists]
    subprocess.run([sys.executable, "-m", "pipeline.chain", *sizes, *shlex.split(config.arguments)], check=True)
    results = read_record(Path(config.folder) / name / "results.json", Results, SPACES["open"])
    for model in sorted(results.models, key=lambda one: one.valid.log_loss):
        print(line(model))
    winner, best = results.best_model, results.best_handmade
    assert best is not None and winner.ensemble.test.auc is not None and best.ensemble.test.auc is not None
    return {
        "winner_auc": round(winner.ensemble.test.auc, 5),
        "winner_logloss": round(winner.ensemble.test.log_loss, 5),
        "best_baseline": best.title,
        "best_baseline_auc": round(best.ensemble.test.auc, 5),
        "best_baseline_logloss": round(best.ensemble.test.log_loss, 5),
        "winner_mflops": round(winner.multiply_accumulates / 1e6, 3),
        "best_baseline_mflops": round(best.multiply_accumulates / 1e6, 3),
    }


def line(model: ModelResult) -> str:
    """A model's figures over its seeds."""
    aucs = [one.test.auc for one in model.seeds if one.test.auc is not None]
    losses = [one.test.log_loss for one in model.seeds]
    spread = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in (aucs, losses)]
    published = PUBLISHED_AUC.get(model.name) if model.kind == "handmade" else None
    beside = "" if published is None else f"; published {published:.4f}"
    return (
        f"{model.title:<22} AUC {statistics.mean(aucs):.4f} ± {spread[0]:.4f}{beside}; log loss "
        f"{statistics.mean(losses):.4f} ± {spread[1]:.4f}; averaged {model.ensemble.test.auc:.4f} / "
        f"{model.ensemble.test.log_loss:.4f}; {model.recipe.in_words()}"
    )


if __name__ == "__main__":
    print(json.dumps(main(tyro.cli(FrappeConfig))))
