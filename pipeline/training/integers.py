"""The numeric columns' means, deviations and quantiles, measured once a run on training rows, for all of its networks.

R rows, I numeric columns, E encoded columns.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from modules.integers import MISSING, PiecewiseLinear, Standardization
from pipeline.run.records.codec import read_record, write_record
from pipeline.run.records.recipe import number_bins
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
    edges: tuple[tuple[float, ...], ...]
    """Of each column, where its bins begin and end: quantiles of the values that are not missing, ascending."""
    encoded_mean: tuple[float, ...]
    """Of each of the E columns that the bins make (`PiecewiseLinear`)."""
    encoded_deviation: tuple[float, ...]
    """Standard deviation of each; 0 where a column does not vary."""


def standardization(session: Session) -> Standardization:
    """What the session's networks read in the place of numbers. Rank 0 measures when they were not yet; every rank
    calls it. Raises ValueError where numbers are to be encoded and the log has none."""
    path, columns = session.folder.data / "integers.json", session.dataset.schema.num_integers
    is_piecewise = session.config.model.numbers == "piecewise"
    if is_piecewise and not columns:
        raise ValueError("model.numbers is piecewise, but the log has no numeric columns; leave it out")

    def read() -> IntegerStatistics:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_record(path, measure(session))
        return read_record(path, IntegerStatistics)

    found = session.processes.on_first(read)
    if not is_piecewise:
        return Standardization(torch.tensor(found.mean), torch.tensor(found.deviation))
    encoding = PiecewiseLinear(found.edges, number_bins(columns))
    return Standardization(torch.tensor(found.encoded_mean), torch.tensor(found.encoded_deviation), encoding)


def measure(session: Session) -> IntegerStatistics:
    """All statistics, over the first rows of a shuffled pass."""
    parts = []
    with session.dataset.stream("train", BATCH_ROWS, shuffle_seed=0, drop_last=False) as stream:
        for batch in stream:
            parts.append(batch.dense)
            if len(parts) * BATCH_ROWS >= MEASURED_ROWS:
                break
    rows = torch.cat(parts)[:MEASURED_ROWS]  # [R, I]
    edges, encoded = tuple[tuple[float, ...], ...](), tuple[tuple[list[float], list[float]], ...]()
    if columns := session.dataset.schema.num_integers:
        bins = number_bins(columns)
        edges = tuple(quantiles(values, bins) for values in rows.T)
        columns_alone = ((own, rows[:, [at]]) for at, own in enumerate(edges))  # at once they would be [R, E]
        encoded = tuple(_moments(PiecewiseLinear([own], bins)(values)) for own, values in columns_alone)
    mean, deviation = _moments(rows)
    return IntegerStatistics(
        tuple(mean),
        tuple(deviation),
        edges,
        tuple(number for means, _ in encoded for number in means),
        tuple(number for _, deviations in encoded for number in deviations),
    )


def quantiles(values: Tensor, bins: int) -> tuple[float, ...]:
    """Where bins of a column [R] begin and end, so that each has as many of its rows as far as its values differ;
    missing ones do not count.

    >>> quantiles(torch.tensor([-1.0, 0.0, 0.0, 0.0, 1.0, 4.0]), 4)
    (0.0, 1.0, 4.0)
    """
    there = values[values != MISSING].double()
    if not len(there):
        return ()
    places = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    found = torch.quantile(there, places, interpolation="nearest")
    return tuple(float(edge) for edge in found.float().unique())


def _moments(rows: Tensor) -> tuple[list[float], list[float]]:
    """Means and standard deviations of the columns."""
    exact = rows.double()
    return exact.mean(dim=0).tolist(), exact.std(dim=0, correction=0).tolist()
