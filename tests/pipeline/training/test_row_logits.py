"""pipeline/training/row_logits.py: logits as files, their metrics, losses and means."""

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from scipy.special import expit

from pipeline.training.metrics import Evaluation
from pipeline.training.row_logits import RowLogits, averaged


def drawn(seed: int, rows: int = 200) -> RowLogits:
    """Random logits on the same random labels."""
    labels = (numpy.random.default_rng(99).random(rows) < 0.3).astype(numpy.float32)
    return RowLogits(numpy.random.default_rng(seed).normal(-1, 2, rows).astype(numpy.float32), labels)


def test_there_and_back(tmp_path: Path) -> None:
    """What is written is read, to the last bit."""
    drawn(0).write(tmp_path / "logits.npy")
    found = RowLogits.read(tmp_path / "logits.npy")
    assert numpy.array_equal(found.logits, drawn(0).logits) and numpy.array_equal(found.labels, drawn(0).labels)


@pytest.mark.parametrize("contents", [b"", b"not numpy", "shape"])
def test_another_file(tmp_path: Path, contents: Any) -> None:
    """A file of something else, or a cut one, is named, with what to do."""
    path = tmp_path / "logits.npy"
    if contents == "shape":
        numpy.save(path, numpy.zeros((3, 4)))
    else:
        path.write_bytes(contents)
    with pytest.raises(ValueError, match=r"logits\.npy: .*remove it"):
        RowLogits.read(path)


def test_metrics_and_losses() -> None:
    """Metrics are `Evaluation`'s; the rows' losses are -log p of the label, with the log loss as their mean."""
    rows = drawn(1)
    evaluation = Evaluation()
    evaluation.add(torch.from_numpy(rows.logits), torch.from_numpy(rows.labels))
    assert rows.metrics() == evaluation.metrics()
    probability = expit(rows.logits.astype(numpy.float64))
    expected = -numpy.log(numpy.where(rows.labels > 0, probability, 1 - probability))
    assert rows.log_losses() == pytest.approx(expected)
    assert rows.log_losses().mean() == pytest.approx(rows.metrics().log_loss)


def test_the_mean_of_seeds() -> None:
    """Logits are averaged, not probabilities; other labels are not the same rows."""
    found = averaged([drawn(0), drawn(1), drawn(2)])
    assert found.logits == pytest.approx(sum(drawn(seed).logits.astype(numpy.float64) for seed in range(3)) / 3)
    with pytest.raises(AssertionError):
        averaged([drawn(0), RowLogits(drawn(1).logits, 1 - drawn(1).labels)])
