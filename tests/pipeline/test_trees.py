"""pipeline/trees.py: gradient-boosted trees on the rows that networks are trained on."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import lightgbm
import numpy
import pytest
import torch
from scipy import stats

from pipeline.data import Batch, Schema
from pipeline.run.processes import join
from pipeline.run.records.settings import TreesConfig
from pipeline.session import Session, open_session
from pipeline.trees import best_fit, fit_trees, read_rows

TinyRun = Any


@pytest.fixture
def session(copied: TinyRun) -> Iterator[Session]:
    """A finished run's session."""
    with join("cpu") as processes, open_session(copied.config, processes) as opened:
        yield opened


class Pairs:
    """A data set whose label is decided by two ids together, of which neither says anything alone; one row in ten has
    the other label."""

    schema = Schema("pairs", "y", ("x",), ("first", "second"), (8, 8))

    def stream(self, split: str, batch_size: int, drop_last: bool) -> Any:
        """One batch, as a stream of the product gives it."""
        assert batch_size > 0 and not drop_last
        generator = numpy.random.default_rng(len(split))
        ids = generator.integers(0, 8, (2, 4000))
        label = (ids.sum(axis=0) % 2) ^ (generator.random(4000) < 0.1)
        batch = Batch.of_ids(
            torch.zeros(4000, 1), torch.from_numpy(ids), torch.from_numpy(label).float(), ["first", "second"]
        )

        class Stream(list[Batch]):
            def __enter__(self) -> "Stream":
                return self

            def __exit__(self, *_: object) -> None:
                pass

        return Stream([batch])


def test_trees_find_what_two_ids_say_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close to the best possible log loss; and the same on one thread and on two."""
    dataset: Any = Pairs()
    found = best_fit(dataset, TreesConfig())
    possible = -(0.9 * numpy.log(0.9) + 0.1 * numpy.log(0.1))
    assert possible - 0.05 < found.test.log_loss < possible + 0.03
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert best_fit(dataset, TreesConfig()) == found


def test_metrics_are_of_the_kept_trees() -> None:
    """Log loss and AUC of the record are those of the booster's probabilities, by numpy's and scipy's formulas, and the
    fit that is kept has the least validation log loss."""
    dataset: Any = Pairs()
    kept: list[lightgbm.Booster] = []
    train = lightgbm.train

    def keep(*arguments: Any, **named: Any) -> lightgbm.Booster:
        kept.append(train(*arguments, **named))
        return kept[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lightgbm, "train", keep)
        found = best_fit(dataset, TreesConfig(rounds=20))
    losses = {}
    for booster in kept:
        features, labels, _ = read_rows(dataset, "valid")
        probability = numpy.asarray(booster.predict(features))
        losses[float(-numpy.log(numpy.where(labels == 1, probability, 1 - probability)).mean())] = booster
    assert len(kept) == found.fits == 2 and found.valid.log_loss == pytest.approx(min(losses), rel=1e-6)
    features, labels, _ = read_rows(dataset, "test")
    probability = numpy.asarray(losses[min(losses)].predict(features))
    clicked, other = probability[labels == 1], probability[labels == 0]
    assert found.test.auc == pytest.approx(stats.mannwhitneyu(clicked, other).statistic / clicked.size / other.size)


@pytest.mark.slow
def test_every_row_is_read(session: Session) -> None:
    """Each split's rows once, in their order: integers, then ids, as the streams of networks give them."""
    schema = session.dataset.schema
    for split in ("train", "valid", "test"):
        features, labels, weights = read_rows(session.dataset, split)
        assert weights is None
        with session.dataset.stream(split, 7, drop_last=False) as stream:
            expected = [(batch.dense.numpy().copy(), batch.ids.numpy(), batch.label.numpy().copy()) for batch in stream]
        dense, ids, label = (numpy.concatenate(parts) for parts in zip(*expected, strict=True))
        assert len(labels) == session.dataset.rows(split) and (labels == label).all()
        assert (features == numpy.hstack([dense[:, : schema.num_integers], ids])).all()


@pytest.mark.slow
def test_trees_of_a_run(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """The run's trees.json is read, not made again; removed, it is made again with the same bytes; a log that is too
    large has none, and a line says so."""
    path = session.folder.trees
    before = path.read_bytes()
    assert fit_trees(session) is not None
    path.unlink()
    found = fit_trees(session)
    assert found is not None and path.read_bytes() == before
    assert found.rows == session.dataset.rows("train") and found.test.rows == session.dataset.rows("test")
    limit = TreesConfig(rows=found.rows - 1)
    small = dataclasses.replace(session, config=dataclasses.replace(session.config, trees=limit))
    capsys.readouterr()
    assert fit_trees(small) is None
    expected = f"trees      none: {found.rows:,} training rows, above trees.rows {limit.rows:,}\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": -1}, "trees.rows is -1; it must be at least 0"),
        ({"rounds": 0}, "trees.rounds is 0; it must be at least 1"),
        ({"leaves": 1}, "trees.leaves is 1; it must be at least 2"),
        ({"learning_rate": 0.0}, "trees.learning_rate is 0.0; it must be above 0 and at most 1"),
        ({"learning_rate": float("nan")}, "trees.learning_rate is nan"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    """Each is refused by name."""
    with pytest.raises(ValueError, match=message):
        TreesConfig(**changes)
