"""Gradient-boosted trees on the run's log: how far one comes without a network; writes trees.json.

python -m pipeline.trees [named run] [--run NAME] [--trees.rows N] [--field value ...]

LightGBM splits ids as categories. How strongly rare ones are smoothed matters more than the trees' size and differs
from log to log, so two fits are made, and the one of least validation log loss is kept. Rank 0 fits, with all rows in
memory. LightGBM knows no lists: of one it gets how many values it has, and whether each of the most frequent values of
the training rows is among them.

R rows, B of a batch, I integers, F fields that are no lists.
"""

import sys

from pipeline.command_line import run_program

if __name__ == "__main__":  # first: the command line is read before the imports below, which take seconds
    sys.exit(run_program("pipeline.trees:fit_trees", "pipeline.trees"))

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import lightgbm
import numpy
import numpy.typing as npt
import torch

from pipeline.data import Dataset
from pipeline.run.records.results import Metrics
from pipeline.run.records.settings import TreesConfig
from pipeline.run.records.trees import Trees
from pipeline.session import Session
from pipeline.training.metrics import Evaluation

SMOOTHING: tuple[dict[str, float], ...] = ({}, {"cat_smooth": 100.0, "cat_l2": 50.0, "max_cat_threshold": 128})
"""The fits: LightGBM's defaults (cat_smooth 10), and rare categories held close to the mean, which suits logs whose ids
say little one by one."""
DEFAULT_SMOOTHING = 10.0
"""LightGBM's own cat_smooth."""
LEAF_ROWS = 50
"""Rows of a leaf at least; LightGBM's 20 is meant for smaller data."""
PATIENCE = 30
"""Trees without a gain on the validation rows after which a fit ends."""
ROWS_AT_ONCE = 4_096
"""Rows that are read at a time."""
FREQUENT_VALUES = 32
"""Of a list that are told apart: 8 bytes a row each."""

NO_LISTS: Mapping[str, npt.NDArray[numpy.int64]] = MappingProxyType({})
"""The frequent values of a log without lists."""
Rows = tuple[npt.NDArray[numpy.float64], npt.NDArray[numpy.float32], npt.NDArray[numpy.float32] | None]
"""Integers, ids and what is made of lists side by side [R, I + F + …], labels [R], and weights [R] if there are any."""


def fit_trees(session: Session) -> Trees | None:
    """Fit trees and write trees.json; if that is done, only read it. None where the log is too large for them."""
    train_rows, most = session.dataset.rows("train"), session.config.trees.rows
    if train_rows > most:
        session.say(f"trees      none: {train_rows:,} training rows, above trees.rows {most:,}")
        return None
    path = session.folder.trees
    if not session.exists(path):
        session.write(path, session.processes.on_first(lambda: best_fit(session.dataset, session.config.trees)))
    found = session.read(path, Trees)
    session.say(line(found))
    return found


def line(found: Trees) -> str:
    """The trees' test figures as a line for the terminal."""
    auc = "   –  " if found.test.auc is None else f"{found.test.auc:.4f}"
    return (
        f"trees      {'LightGBM':<18} test log loss {found.test.log_loss:.4f}  AUC {auc}  "
        f"({found.trees} trees, categories smoothed by {found.smoothing:g} rows; beside the networks, not exported)"
    )


def best_fit(dataset: Dataset, config: TreesConfig) -> Trees:
    """The best of the fits, on this rank alone."""
    frequent = frequent_values(dataset)
    rows = {split: read_rows(dataset, split, frequent) for split in ("train", "valid", "test")}
    fits = [fit(dataset, config, rows, dict(own)) for own in SMOOTHING]
    return min(fits, key=lambda one: one.valid.log_loss)


def fit(dataset: Dataset, config: TreesConfig, rows: dict[str, Rows], smoothing: dict[str, float]) -> Trees:
    """One fit. Its results do not depend on the number of threads (LightGBM's `deterministic`)."""
    settings: dict[str, Any] = {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": LEAF_ROWS,
        "deterministic": True,
        "force_row_wise": True,
        "seed": 0,
        "num_threads": len(os.sched_getaffinity(0)),
        "verbosity": -1,
        **smoothing,
    }
    integers = dataset.schema.num_integers
    fields = list(range(integers, integers + len(list_columns(dataset)[0])))
    features, labels, weights = rows["train"]
    train = lightgbm.Dataset(features, labels, weight=weights, params=settings, categorical_feature=fields)
    features, labels, weights = rows["valid"]
    valid = train.create_valid(features, labels, weight=weights, params=settings)
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    booster = lightgbm.train(settings, train, config.rounds, valid_sets=[valid], callbacks=[stop])
    judged = {split: _judged(booster, rows[split]) for split in ("valid", "test")}
    smoothed = smoothing.get("cat_smooth", DEFAULT_SMOOTHING)
    return Trees(smoothed, booster.best_iteration, len(SMOOTHING), len(rows["train"][1]), **judged)


def list_columns(dataset: Dataset) -> tuple[list[int], dict[str, slice]]:
    """The columns of a batch's padded ids: those of fields that are no lists, and those of each list."""
    alone, lists, column = list[int](), dict[str, slice](), 0
    for name, places in zip(dataset.schema.categories, dataset.schema.id_places, strict=True):
        if name in dataset.schema.lists:
            lists[name] = slice(column, column + places)
        else:
            alone.append(column)
        column += places
    return alone, lists


def frequent_values(dataset: Dataset) -> dict[str, npt.NDArray[numpy.int64]]:
    """The most frequent ids of each list in the training rows, the most frequent first."""
    schema, (_, lists) = dataset.schema, list_columns(dataset)
    sizes = dict(zip(schema.categories, schema.table_sizes, strict=True))
    counts = {name: numpy.zeros(sizes[name], numpy.int64) for name in lists}
    if lists:
        with dataset.stream("train", ROWS_AT_ONCE, drop_last=False) as stream:
            for batch in stream:
                ids = batch.padded_ids(schema.id_places).numpy()
                for name, columns in lists.items():
                    found = ids[:, columns]
                    counts[name] += numpy.bincount(found[found > 0], minlength=sizes[name])
    order = {name: numpy.argsort(-own, kind="stable")[:FREQUENT_VALUES] for name, own in counts.items()}
    return {name: own[counts[name][own] > 0] for name, own in order.items()}


def read_rows(dataset: Dataset, split: str, frequent: Mapping[str, npt.NDArray[numpy.int64]] = NO_LISTS) -> Rows:
    """All rows of a split. Integers are as networks get them; what is missing is as the data plane fills it. Of each
    list the number of its values, and whether each of its `frequent` ids is among them."""
    integers, (alone, lists) = dataset.schema.num_integers, list_columns(dataset)
    features, labels, weights = [], [], []
    with dataset.stream(split, ROWS_AT_ONCE, drop_last=False) as stream:
        for batch in stream:
            ids = batch.padded_ids(dataset.schema.id_places).double().numpy()  # [B, C]
            parts = [batch.dense[:, :integers].double().numpy(), ids[:, alone]]
            for name, columns in lists.items():
                own = ids[:, columns]
                parts.append((own > 0).sum(axis=1, keepdims=True).astype(numpy.float64))
                parts += [(own == value).any(axis=1, keepdims=True).astype(numpy.float64) for value in frequent[name]]
            features.append(numpy.hstack(parts))
            labels.append(batch.label.numpy().copy())  # the stream's memory is used again
            if batch.weight is not None:
                weights.append(batch.weight.numpy().copy())
    return numpy.concatenate(features), numpy.concatenate(labels), numpy.concatenate(weights) if weights else None


def _judged(booster: lightgbm.Booster, rows: Rows) -> Metrics:
    evaluation = Evaluation()
    logits = numpy.asarray(booster.predict(rows[0], raw_score=True), dtype=numpy.float32)
    weights = None if rows[2] is None else torch.from_numpy(rows[2])
    evaluation.add(torch.from_numpy(logits), torch.from_numpy(rows[1]), weights)
    return evaluation.own_metrics()
