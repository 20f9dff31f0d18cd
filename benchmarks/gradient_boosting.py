"""What a user would try instead: LightGBM on the splits of a log, judged as the chain's models are.

    pip install lightgbm==4.7.0   (it is no part of requirements.txt)
    python -m benchmarks.gradient_boosting [--data.path logs/ --data.schema criteo] [--seeds 3]

Categorical fields are LightGBM's own categorical features by the table rows that the chain numbers them with, integers
are numbers; the validation rows stop the training. The last line is JSON: lightgbm_auc and lightgbm_logloss on the test
rows (means over seeds), and trees.

R rows, I integers, F fields.
"""

import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from typing import Any

import numpy
import tyro

from pipeline.config import RaceConfig, RunConfig
from pipeline.data.config import DataConfig
from pipeline.run.processes import join
from pipeline.session import Session, open_session
from pipeline.training.row_logits import RowLogits

BATCH_ROWS = 4096
"""Rows read at a time."""


@dataclass(frozen=True)
class BoostingConfig:
    """LightGBM on a log."""

    data: DataConfig = field(default_factory=DataConfig)
    """The log, as the chain reads it."""
    seeds: int = 3
    """Trainings, at least 1; they differ in the sampling of rows and features."""
    trees: int = 5000
    """Trees at most, at least 1; training stops when 100 more do not help the validation rows."""
    leaves: int = 255
    """Leaves of a tree, at least 2."""
    learning_rate: float = 0.05
    """Shrinkage, above 0."""
    threads: int = 2
    """Threads of LightGBM, at least 1."""


def main(config: BoostingConfig) -> dict[str, float]:
    """Trains and judges; returns the last line. Exits with one line where LightGBM is not installed."""
    try:
        import lightgbm
    except ImportError:
        sys.exit("benchmarks.gradient_boosting needs LightGBM: pip install lightgbm==4.7.0")
    with tempfile.TemporaryDirectory() as runs, join("cpu") as processes:
        run = RunConfig(run="boosting", runs=runs, data=config.data, race=RaceConfig(from_supernet=0))
        with open_session(run, processes) as session:
            train, valid, test = (_columns(session, split) for split in ("train", "valid", "test"))
            integers = session.dataset.schema.dense_width
    categories = list(range(integers, train[0].shape[1]))
    found = [_fit(lightgbm, config, seed, train, valid, test, categories) for seed in range(config.seeds)]
    line = {name: round(statistics.mean(one[name] for one in found), 5) for name in found[0]}
    for seed, one in enumerate(found):
        print(f"seed {seed}: {one}")
    print(json.dumps(line))
    return line


def _columns(session: Session, split: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Features [R, I + F] and labels [R] of a split."""
    features, labels = [], []
    for batch in session.dataset.stream(split, BATCH_ROWS, shuffle_seed=None, drop_last=False):
        features.append(numpy.concatenate([batch.dense.numpy(), batch.ids.t().numpy()], axis=1))  # [B, I + F]
        labels.append(batch.label.numpy())
    return numpy.concatenate(features), numpy.concatenate(labels)


def _fit(
    lightgbm: Any,
    config: BoostingConfig,
    seed: int,
    train: tuple[numpy.ndarray, numpy.ndarray],
    valid: tuple[numpy.ndarray, numpy.ndarray],
    test: tuple[numpy.ndarray, numpy.ndarray],
    categories: list[int],
) -> dict[str, float]:
    parameters = {
        "objective": "binary",
        "metric": "binary_logloss",
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "feature_fraction": 0.8,
        "seed": seed,
        "num_threads": config.threads,
        "verbosity": -1,
    }
    rows = lightgbm.Dataset(*train, categorical_feature=categories)
    judged = lightgbm.Dataset(*valid, reference=rows)
    stop = [lightgbm.early_stopping(100, verbose=False)]
    model = lightgbm.train(parameters, rows, config.trees, valid_sets=[judged], callbacks=stop)
    logits = model.predict(test[0], raw_score=True).astype(numpy.float32)
    metrics = RowLogits(logits, test[1]).metrics()
    assert metrics.auc is not None, "the session refuses labels of one class"
    return {"lightgbm_auc": metrics.auc, "lightgbm_logloss": metrics.log_loss, "trees": float(model.best_iteration)}


if __name__ == "__main__":
    main(tyro.cli(BoostingConfig, description=__doc__))
