"""pipeline/training/integers.py: the integers' statistics are measured once, on training rows."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pipeline.run.processes import join
from pipeline.session import Session, open_session
from pipeline.training.integers import standardization


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
