"""Final metrics of a model on a split: log loss, exact AUC, normalized entropy, calibration.

Four bytes per row are kept: the logits in float32, those of clicked and of other rows apart. Everything is
computed from the sorted logits, so the result does not depend on the order of the rows nor on the number of ranks.
"""

import math
from collections.abc import Callable, Iterable

import numpy
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch import distributed as dist
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import embed
from pipeline.data import Batch
from pipeline.run.processes import Processes
from pipeline.run.records.results import Metrics
from pipeline.training.diverged import Diverged
from pipeline.training.evaluating import evaluating

_CHUNK_ROWS = 1 << 20
"""Rows worked on at once in float64 or int64: temporaries stay under 32 MB."""


@torch.no_grad()
def evaluate(
    network: nn.Module, embeddings: DistributedModelParallel, stream: Iterable[Batch], processes: Processes
) -> Metrics:
    """Metrics of a network on a split; every rank calls it with its share of the rows and gets the same result."""
    evaluation = Evaluation()
    with evaluating(network):
        for batch in stream:
            batch = batch.to(processes.device)
            evaluation.add(network(batch.dense, embed(embeddings, batch.sparse)), batch.label)
    return evaluation.metrics()


class Evaluation:
    """Collects (logit, label) rows; `metrics()` evaluates them, over all ranks where a process group is running.

    >>> evaluation = Evaluation()
    >>> evaluation.add(torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 0.0, 0.0]))
    >>> evaluation.metrics().auc
    1.0
    """

    def __init__(self) -> None:
        self._clicked: list[numpy.ndarray] = []
        self._not_clicked: list[numpy.ndarray] = []
        self._not_finite: float | None = None

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add rows: logits [B] of any float type and device, labels [B] of 0 and 1.

        Raises ValueError for labels other than 0 and 1. (For a logit that is not finite `metrics` raises Diverged: it
        may be on one rank only, and the others would wait for its rows.)
        """
        values = logits.detach().to("cpu", torch.float32).numpy()
        labels_on_cpu = labels.detach().cpu().numpy()
        if values.ndim != 1 or labels_on_cpu.shape != values.shape:
            raise ValueError(f"logits {values.shape} and labels {labels_on_cpu.shape}; both must be [B]")
        if self._not_finite is None and not numpy.isfinite(values).all():
            self._not_finite = float(values[~numpy.isfinite(values)][0])
        clicked = labels_on_cpu == 1
        if not (clicked | (labels_on_cpu == 0)).all():
            bad = labels_on_cpu[~(clicked | (labels_on_cpu == 0))][0]
            raise ValueError(f"a label is {bad}; labels must be 0 or 1")
        self._clicked.append(values[clicked])
        self._not_clicked.append(values[~clicked])

    def metrics(self, group: dist.ProcessGroup | None = None) -> Metrics:
        """The metrics of all rows added, on every rank of the group (by default all); call it on all of them.

        Rank 0 gathers the rows of all ranks. Raises, on every rank, ValueError when there are none and Diverged when
        the logit of one of them is not finite.
        """
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size(group) == 1:
            return self.own_metrics()
        self._check_finite(_of_all_ranks(self._not_finite, group))
        clicked, not_clicked = _joined(self._clicked), _joined(self._not_clicked)
        clicked, not_clicked = gathered(clicked, group), gathered(not_clicked, group)
        outcome: list[Metrics | str | None] = [None]
        if dist.get_rank(group) == 0:
            try:
                outcome = [_metrics(clicked, not_clicked)]
            except ValueError as error:  # raised on every rank: otherwise the others would wait for ever
                outcome = [str(error)]
        dist.broadcast_object_list(outcome, group_src=0, group=group)
        if not isinstance(outcome[0], Metrics):
            raise ValueError(outcome[0])
        return outcome[0]

    def _check_finite(self, not_finite: list[float | None]) -> None:
        for logit in not_finite:
            if logit is not None:
                raise Diverged(f"a logit is {logit}: the model has diverged; train it with a lower learning rate")

    def sorted_logits(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The float32 logits of clicked and of other rows added on this rank, each ascending. Raises Diverged."""
        self._check_finite([self._not_finite])
        clicked, not_clicked = _joined(self._clicked), _joined(self._not_clicked)
        clicked.sort()
        not_clicked.sort()
        return clicked, not_clicked

    def own_metrics(self) -> Metrics:
        """The metrics of the rows added on this rank alone; it raises what `metrics` does."""
        self._check_finite([self._not_finite])
        return _metrics(_joined(self._clicked), _joined(self._not_clicked))


def _of_all_ranks(value: float | None, group: dist.ProcessGroup | None) -> list[float | None]:
    values: list[float | None] = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group=group)
    return values


def _joined(parts: list[numpy.ndarray]) -> numpy.ndarray:
    """The parts as one float32 array; the list then holds that array only."""
    parts[:] = [numpy.concatenate([numpy.empty(0, numpy.float32), *parts])]
    return parts[0]


def gathered(values: numpy.ndarray, group: dist.ProcessGroup | None = None) -> numpy.ndarray:
    """On the group's first rank the values of all ranks, elsewhere nothing. One rank sends at a time: no padding."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size(group) == 1:
        return values
    device = torch.device("cuda" if dist.get_backend(group) == "nccl" else "cpu")
    size = dist.get_world_size(group)
    lengths = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(size)]
    dist.all_gather(lengths, torch.tensor([len(values)], device=device), group=group)
    if dist.get_rank(group) != 0:
        if len(values):
            dist.send(torch.from_numpy(values).to(device), group_dst=0, group=group)
        return numpy.empty(0, numpy.float32)
    parts = [values]
    for rank in range(1, size):
        part = torch.empty(int(lengths[rank]), dtype=torch.float32, device=device)
        if len(part):
            dist.recv(part, group_src=rank, group=group)
        parts.append(part.cpu().numpy())
    return numpy.concatenate(parts)


def _metrics(clicked: numpy.ndarray, not_clicked: numpy.ndarray) -> Metrics:
    """The metrics of float32 logits in any order; sorts them in place."""
    positives, negatives = len(clicked), len(not_clicked)
    rows = positives + negatives
    if rows == 0:
        raise ValueError("no rows to evaluate; the split is empty")
    clicked.sort()
    not_clicked.sort()
    log_loss = (_sum(_loss_if_clicked, clicked) + _sum(_loss_if_not_clicked, not_clicked)) / rows
    mean_prediction = (_sum(expit, clicked) + _sum(expit, not_clicked)) / rows
    mean_label = positives / rows
    both = positives > 0 and negatives > 0
    entropy = -mean_label * math.log(mean_label) - (1 - mean_label) * math.log1p(-mean_label) if both else 0.0
    return Metrics(
        log_loss=log_loss,
        auc=_auc(clicked, not_clicked) if both else None,
        normalized_entropy=log_loss / entropy if both else None,
        calibration=mean_prediction / mean_label if positives else None,
        rows=rows,
    )


def _auc(clicked: numpy.ndarray, not_clicked: numpy.ndarray) -> float:
    """Exact AUC of sorted logits: pairs won, ties ½, counted in integers (no rounding below 2⁶³ pairs)."""
    half_wins = 0
    for start in range(0, len(clicked), _CHUNK_ROWS):
        chunk = clicked[start : start + _CHUNK_ROWS]
        below = numpy.searchsorted(not_clicked, chunk, side="left")
        not_above = numpy.searchsorted(not_clicked, chunk, side="right")
        half_wins += int(below.sum()) + int(not_above.sum())
    return half_wins / (2 * len(clicked) * len(not_clicked))


def _sum(function: Callable[[numpy.ndarray], numpy.ndarray], values: numpy.ndarray) -> float:
    """Sum of function(value) in float64, exactly rounded over chunks of the order given."""
    chunks = range(0, len(values), _CHUNK_ROWS)
    return math.fsum(function(values[start : start + _CHUNK_ROWS].astype(numpy.float64)).sum() for start in chunks)


def _loss_if_clicked(logits: numpy.ndarray) -> numpy.ndarray:
    """-log σ(x), stable for any x."""
    return numpy.logaddexp(0.0, -logits)


def _loss_if_not_clicked(logits: numpy.ndarray) -> numpy.ndarray:
    """-log(1 - σ(x)), stable for any x."""
    return numpy.logaddexp(0.0, logits)
