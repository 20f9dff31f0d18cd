"""Do hand-made models reach their published AUC on Frappe? Frappe_x1 (train negatives re-sampled) in ../shared/data.

    python -m benchmarks.frappe_baselines [--models dnn deepfm …] [--passes 4] [--folder /tmp/frappe_baselines]

Trains each once with the recipe that races find there (kept tables, D 64, up to four of five planned passes, ended by
the first that is worse on validation rows), without a search; some want more passes. Models may be divided between
processes, each with a folder of its own. The last line is JSON: the largest difference by which a model stays below its
published test AUC, and whose it is.
"""

import dataclasses
import json
from dataclasses import dataclass

import tyro

from benchmarks.frappe import LOG, PUBLISHED_AUC
from modules.space.handmade import TITLES, handmade
from pipeline.config import RunConfig
from pipeline.data import DataConfig
from pipeline.race.config import RaceConfig
from pipeline.race.recipes import first_recipes, fitting_batch, with_prior
from pipeline.race.trial_training import Job, train_passes
from pipeline.run.processes import cpu_threads, join
from pipeline.run.records.recipe import Recipe
from pipeline.session import Session, open_session
from pipeline.training.row_logits import row_logits
from pipeline.training.standalone import with_recipe

ROWS_AT_ONCE = 4_096
"""Test rows that are read at a time."""


@dataclass(frozen=True)
class BaselinesConfig:
    """Train hand-made models on Frappe."""

    models: tuple[str, ...] = ("dnn", "dlrm", "deepfm", "dcn_v2", "autoint_plus", "masknet", "finalnet", "finalmlp")
    """Which."""
    passes: int = 4
    """Passes at most; one more is planned."""
    seed: int = 0
    """Of the weights and the order of the rows."""
    folder: str = "/tmp/frappe_baselines"
    """Where the log's rows are counted."""


def recipe_of(rows: int, passes: int) -> Recipe:
    """The recipe that races find on this log."""
    kept = with_prior(first_recipes(RaceConfig(), 64)[1], 8.0)
    return dataclasses.replace(
        kept, epochs=passes, planned_epochs=passes + 1, batch_size=fitting_batch(kept.batch_size, rows)
    )


def auc_of(session: Session, name: str, most_passes: int) -> float:
    """Of one training; prints it beside the published one."""
    recipe = recipe_of(session.dataset.rows("train"), most_passes)
    own = with_recipe(session, recipe)
    loss, rows, network, trainee = train_passes(own, Job(0, name, handmade(name, own.shape), recipe, 1.0))
    with session.dataset.stream("test", ROWS_AT_ONCE, drop_last=False) as stream:
        metrics = row_logits(network, trainee.embeddings, stream, session.processes).metrics()
    published = PUBLISHED_AUC.get(name)
    beside = "" if published is None else f", published {published:.4f}"
    passes = rows / session.dataset.rows("train")
    print(
        f"{TITLES[name]:<20} validation {loss:.4f}, test AUC {metrics.auc:.4f}{beside}; {passes:.0f} passes", flush=True
    )
    assert metrics.auc is not None, "both labels are there"
    return metrics.auc


def main(config: BaselinesConfig) -> dict[str, float | str]:
    """All trainings; returns the last line."""
    if not LOG.is_dir():
        raise SystemExit(f"{LOG} is absent: this benchmark needs the log there")
    run = RunConfig(run="baselines", runs=config.folder, seed=config.seed, device="cpu", data=DataConfig(path=str(LOG)))
    with join("cpu") as processes, open_session(run, processes) as session, cpu_threads(1):
        found = {name: auc_of(session, name, config.passes) for name in config.models}
    below = {name: PUBLISHED_AUC[name] - auc for name, auc in found.items() if name in PUBLISHED_AUC}
    worst = max(below, key=lambda name: below[name])
    return {"most_below_published": round(below[worst], 5), "model": worst}


if __name__ == "__main__":
    print(json.dumps(main(tyro.cli(BaselinesConfig, description=__doc__))))
