"""A trained network's logits row by row: what its metrics, comparisons and averages with other seeds are made of.

B batch, R rows of a split.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import numpy.typing as npt
import torch
from torch import nn
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import embed
from pipeline.data import Batch
from pipeline.run.files import atomic_write
from pipeline.run.processes import Processes
from pipeline.run.records.results import Metrics
from pipeline.training.evaluating import evaluating
from pipeline.training.metrics import Evaluation, gathered


@dataclass(frozen=True)
class RowLogits:
    """Logits and labels of a split's rows, in the order in which the run's ranks read them."""

    logits: npt.NDArray[numpy.float32]
    """[R]."""
    labels: npt.NDArray[numpy.float32]
    """[R], 0 or 1."""
    weights: npt.NDArray[numpy.float32] | None = None
    """[R], above 0: what each row counts for; None where all count the same."""

    @classmethod
    def none(cls) -> "RowLogits":
        """No rows, as on every rank but the first."""
        return cls(numpy.empty(0, numpy.float32), numpy.empty(0, numpy.float32))

    @classmethod
    def read(cls, path: Path) -> "RowLogits":
        """What `write` wrote. Raises ValueError naming the file when it is something else."""
        try:
            found = numpy.load(path)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path}: not a file of logits ({error}); remove it to have it written again") from error
        if found.ndim != 2 or len(found) not in (2, 3) or found.dtype != numpy.float32:
            raise ValueError(f"{path}: {found.dtype} {found.shape}, expected float32 [2 or 3, rows]; remove it")
        return cls(*found)

    def write(self, path: Path) -> None:
        """Write logits, labels and, where there are any, weights, atomically."""
        with atomic_write(path) as file:
            weights = [] if self.weights is None else [self.weights]
            numpy.save(file, numpy.stack([self.logits, self.labels, *weights]))

    def metrics(self) -> Metrics:
        """The metrics of these rows."""
        evaluation = Evaluation()
        weights = None if self.weights is None else torch.from_numpy(self.weights)
        evaluation.add(torch.from_numpy(self.logits), torch.from_numpy(self.labels), weights)
        return evaluation.own_metrics()

    def log_losses(self) -> npt.NDArray[numpy.float64]:
        """Negative log likelihood of each row [R], nats."""
        signs = numpy.where(self.labels > 0, -1.0, 1.0)
        return numpy.logaddexp(0.0, signs * self.logits.astype(numpy.float64))


def averaged(seeds: Sequence[RowLogits]) -> RowLogits:
    """The mean of several trainings' logits on the same rows."""
    for other in seeds[1:]:
        assert numpy.array_equal(other.labels, seeds[0].labels), "the same rows in the same order"
    mean = numpy.stack([one.logits for one in seeds]).mean(axis=0, dtype=numpy.float64)
    return RowLogits(numpy.asarray(mean, numpy.float32), seeds[0].labels, seeds[0].weights)


@torch.no_grad()
def row_logits(
    network: nn.Module, embeddings: DistributedModelParallel, stream: Iterable[Batch], processes: Processes
) -> RowLogits:
    """The logits of a split's rows, one rank's after the other's, on rank 0; the other ranks get none."""
    logits, labels, weights = [], [], []
    with evaluating(network):
        for batch in stream:
            batch = batch.to(processes.device)
            logits.append(network(batch.dense, embed(embeddings, batch.sparse)).float().cpu().numpy())
            labels.append(batch.label.cpu().numpy())
            if batch.weight is not None:
                weights.append(batch.weight.cpu().numpy())
    found = [logits, labels, *([weights] if any(processes.gather(bool(weights))) else [])]
    columns = [numpy.concatenate([numpy.empty(0, numpy.float32), *parts]) for parts in found]
    return RowLogits(*(gathered(column) for column in columns))
