"""pipeline/training/integers.py: the integers' statistics are measured once, on training rows."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.integers import MISSING
from pipeline.run.processes import join
from pipeline.run.records.recipe import Recipe, number_bins
from pipeline.session import Session, open_session
from pipeline.training.integers import quantiles, standardization
from pipeline.training.standalone import with_recipe


@pytest.fixture
def session(copied: Any) -> Iterator[Session]:
    """An open session on a copy of the finished run."""
    with join("cpu") as processes, open_session(copied.config, processes) as opened:
        yield opened


def test_measured_on_training_rows(session: Session) -> None:
    """Means and deviations are those of the training rows (fewer than are measured at most), kept in the run's folder
    and not measured again."""
    path = session.folder.data / "integers.json"
    path.unlink()
    found = standardization(session)
    stream = session.dataset.stream("train", 50, drop_last=False)
    rows = torch.cat([batch.dense for batch in stream]).double()
    assert torch.allclose(found.mean.double(), torch.where(rows.std(0) > 0, rows.mean(0), 0.0), atol=1e-5)
    varies = rows.std(0) > 0
    deviation = torch.where(varies, rows.std(0, correction=0), 1.0)
    assert torch.allclose(found.deviation.double(), deviation, rtol=1e-4)
    written = path.read_bytes()
    assert torch.equal(standardization(session).mean, found.mean) and path.read_bytes() == written


def test_encoded_numbers(session: Session) -> None:
    """With piecewise numbers networks are given T + 2 for each column, standardized over the training rows, as many as
    the session's shape says; the statistics are those that were measured once."""
    columns = session.dataset.schema.num_integers
    own = with_recipe(session, Recipe(embedding_width=8, numbers="piecewise"))
    assert own.shape.integers == columns * (number_bins(columns) + 2)
    stream = own.dataset.stream("train", 50, drop_last=False)
    found = standardization(own)(torch.cat([batch.dense for batch in stream])).double()
    assert found.shape[1] == own.shape.integers
    assert float(found.mean(dim=0).abs().max()) < 1e-4
    assert float(found.std(dim=0, correction=0).max()) < 1 + 1e-4
    path = session.folder.data / "integers.json"
    written = path.read_bytes()
    assert standardization(session)(torch.zeros(1, columns)).shape == (1, columns)
    assert path.read_bytes() == written


def test_a_log_without_numbers_has_none_to_encode(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for encoded numbers of a log that has none is an error that names the setting."""
    schema = dataclasses.replace(session.dataset.schema, integers=())
    monkeypatch.setattr(session.dataset, "schema", schema)
    own = with_recipe(session, Recipe(numbers="piecewise"))
    with pytest.raises(ValueError, match=r"model\.numbers is piecewise, but the log has no numeric columns"):
        standardization(own)


@given(st.lists(st.integers(-1, 9), min_size=1, max_size=60), st.integers(2, 16))
def test_bins_hold_as_many_rows(numbers: list[int], bins: int) -> None:
    """Edges are values of the column, ascending, from the least to the largest, at most one more than bins; between two
    neighbours lie no more rows than a bin's share, and those of a value that is more frequent."""
    values = torch.tensor(numbers, dtype=torch.float32)
    there = values[values != MISSING].numpy()
    edges = quantiles(values, bins)
    assert list(edges) == sorted(set(edges)) and len(edges) <= bins + 1 and set(edges) <= set(there.tolist())
    if len(there):
        assert (edges[0], edges[-1]) == (there.min(), there.max())
    for low, high in itertools.pairwise(edges):
        inside = numpy.count_nonzero((there > low) & (there < high))
        assert inside <= len(there) / bins + 1
