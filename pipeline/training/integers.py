"""The integers' means and deviations, measured once a run on training rows, for all of its networks.

R rows, I integers.
"""

from dataclasses import dataclass

import torch

from modules.integers import Standardization
from pipeline.run.records.codec import read_record, write_record
from pipeline.session import Session

MEASURED_ROWS = 65_536
"""Training rows that are measured (all, if there are fewer): the mean's error is then .4 % of the deviation."""
BATCH_ROWS = 1024


@dataclass(frozen=True)
class IntegerStatistics:
    """data/integers.json in the run's folder."""

    mean: tuple[float, ...]
    """Of each of the I columns, as the streams deliver them."""
    deviation: tuple[float, ...]
    """Standard deviation of each; 0 where a column does not vary."""


def standardization(session: Session) -> Standardization:
    """What standardizes the integers in this run. Rank 0 measures when they were not yet; every rank calls it."""
    path = session.folder.data / "integers.json"

    def read() -> IntegerStatistics:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_record(path, measure(session))
        return read_record(path, IntegerStatistics)

    found = session.processes.on_first(read)
    return Standardization(torch.tensor(found.mean), torch.tensor(found.deviation))


def measure(session: Session) -> IntegerStatistics:
    """Mean and deviation over the first rows of a shuffled pass."""
    parts = []
    with session.dataset.stream("train", BATCH_ROWS, shuffle_seed=0, drop_last=False) as stream:
        for batch in stream:
            parts.append(batch.dense.double())
            if len(parts) * BATCH_ROWS >= MEASURED_ROWS:
                break
    rows = torch.cat(parts)[:MEASURED_ROWS]  # [R, I]
    return IntegerStatistics(tuple(rows.mean(dim=0).tolist()), tuple(rows.std(dim=0, correction=0).tolist()))
