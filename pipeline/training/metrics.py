"""Final metrics of a model on a split: log loss, exact AUC, normalized entropy, calibration.

Four bytes per row are kept, eight where rows have weights: the logits in float32, those of clicked and of other rows
apart. Everything is computed from the sorted logits, so the result does not depend on the order of the rows nor on the
number of ranks. With weights every mean over rows is a weighted one, and the AUC is over pairs that count by the
product of their weights: a row of weight 2 is a row that is there twice.
"""

import math
from collections.abc import Iterable
from typing import Any

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
from pipeline.training.label_logits import LabelLogits

_CHUNK_ROWS = 1 << 20
"""Rows worked on at once in int64: temporaries stay under 32 MB."""


@torch.no_grad()
def evaluate(
    network: nn.Module, embeddings: DistributedModelParallel, stream: Iterable[Batch], processes: Processes
) -> Metrics:
    """Metrics of a network on a split; every rank calls it with its share of the rows and gets the same result."""
    evaluation = Evaluation()
    with evaluating(network):
        for batch in stream:
            batch = batch.to(processes.device)
            evaluation.add(network(batch.dense, embed(embeddings, batch.sparse)), batch.label, batch.weight)
    return evaluation.metrics()


class Evaluation:
    """Collects (logit, label, weight) rows; `metrics()` evaluates them, over all ranks where a process group runs.

    >>> evaluation = Evaluation()
    >>> evaluation.add(torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 0.0, 0.0]))
    >>> evaluation.metrics().auc
    1.0
    """

    def __init__(self) -> None:
        self._clicked, self._not_clicked = _Parts(), _Parts()
        self._not_finite: float | None = None

    def add(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Add rows: logits [B] of any float type and device, labels [B] of 0 and 1, weights [B] above 0 (None: 1 each).
        All of a log's rows have weights, or none has.

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
        of_rows = None if weights is None else weights.detach().to("cpu", torch.float32).numpy()
        for parts, which in ((self._clicked, clicked), (self._not_clicked, ~clicked)):
            parts.add(values[which], None if of_rows is None else of_rows[which])

    def metrics(self, group: dist.ProcessGroup | None = None) -> Metrics:
        """The metrics of all rows added, on every rank of the group (by default all); call it on all of them.

        Rank 0 gathers the rows of all ranks. Raises, on every rank, ValueError when there are none and Diverged when
        the logit of one of them is not finite.
        """
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size(group) == 1:
            return self.own_metrics()
        ranks = _of_all_ranks((self._not_finite, self._clicked.has_weights), group)
        self._check_finite([not_finite for not_finite, _ in ranks])
        have_weights = any(has_weights for _, has_weights in ranks)  # a rank without rows has none
        of_ranks = [parts.of_all_ranks(have_weights, group) for parts in (self._clicked, self._not_clicked)]
        outcome: list[Metrics | str | None] = [None]
        if dist.get_rank(group) == 0:
            try:
                outcome = [_metrics(*of_ranks)]
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

    def sorted_logits(self) -> tuple[LabelLogits, LabelLogits]:
        """Clicked and other rows added on this rank. Raises Diverged."""
        self._check_finite([self._not_finite])
        return self._clicked.joined(), self._not_clicked.joined()

    def own_metrics(self) -> Metrics:
        """The metrics of the rows added on this rank alone; it raises what `metrics` does."""
        return _metrics(*self.sorted_logits())


class _Parts:
    """Rows of one label, as they came."""

    def __init__(self) -> None:
        self._logits: list[numpy.ndarray] = []
        self._weights: list[numpy.ndarray] = []

    def add(self, logits: numpy.ndarray, weights: numpy.ndarray | None) -> None:
        """Some rows."""
        assert len(self._weights) == (0 if weights is None else len(self._logits)), "all rows have weights, or none"
        self._logits.append(logits)
        if weights is not None:
            self._weights.append(weights)

    @property
    def has_weights(self) -> bool:
        """Whether the rows that were added have weights."""
        return bool(self._weights)

    def joined(self) -> LabelLogits:
        """All of them."""
        return LabelLogits.of(_joined(self._logits), _joined(self._weights) if self._weights else None)

    def of_all_ranks(self, have_weights: bool, group: dist.ProcessGroup | None) -> LabelLogits:
        """On the group's first rank the rows of all ranks, elsewhere none."""
        logits = gathered(_joined(self._logits), group)
        return LabelLogits.of(logits, gathered(_joined(self._weights), group) if have_weights else None)


def _of_all_ranks(value: tuple[float | None, bool], group: dist.ProcessGroup | None) -> list[tuple[float | None, bool]]:
    values: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group=group)
    return values


def _joined(parts: list[numpy.ndarray]) -> numpy.ndarray:
    """The parts as one float32 array; the list then holds that array only, unless it is empty."""
    if not parts:
        return numpy.empty(0, numpy.float32)
    parts[:] = [numpy.concatenate(parts)]
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


def _metrics(clicked: LabelLogits, not_clicked: LabelLogits) -> Metrics:
    """The metrics of the rows of both labels."""
    rows = len(clicked) + len(not_clicked)
    if rows == 0:
        raise ValueError("no rows to evaluate; the split is empty")
    positives, total = clicked.total, clicked.total + not_clicked.total
    log_loss = (clicked.sum(_loss_if_clicked) + not_clicked.sum(_loss_if_not_clicked)) / total
    mean_prediction = (clicked.sum(expit) + not_clicked.sum(expit)) / total
    mean_label = positives / total
    both = len(clicked) > 0 and len(not_clicked) > 0
    entropy = -mean_label * math.log(mean_label) - (1 - mean_label) * math.log1p(-mean_label) if both else 0.0
    return Metrics(
        log_loss=log_loss,
        auc=_auc(clicked, not_clicked) if both else None,
        normalized_entropy=log_loss / entropy if both else None,
        calibration=mean_prediction / mean_label if positives else None,
        rows=rows,
    )


def _auc(clicked: LabelLogits, not_clicked: LabelLogits) -> float:
    """Exact AUC: pairs won, ties ½, counted in integers (no rounding below 2⁶³ pairs); with weights in float64."""
    if clicked.weights is not None:
        behind = not_clicked.cumulated()

        def won(logits: numpy.ndarray) -> numpy.ndarray:
            below = numpy.searchsorted(not_clicked.logits, logits, side="left")
            return behind[below] + behind[numpy.searchsorted(not_clicked.logits, logits, side="right")]

        return clicked.sum(won, exact=False) / (2 * clicked.total * not_clicked.total)
    half_wins = 0
    for start in range(0, len(clicked), _CHUNK_ROWS):
        chunk = clicked.logits[start : start + _CHUNK_ROWS]
        below = numpy.searchsorted(not_clicked.logits, chunk, side="left")
        not_above = numpy.searchsorted(not_clicked.logits, chunk, side="right")
        half_wins += int(below.sum()) + int(not_above.sum())
    return half_wins / (2 * len(clicked) * len(not_clicked))


def _loss_if_clicked(logits: numpy.ndarray) -> numpy.ndarray:
    """-log σ(x), stable for any x."""
    return numpy.logaddexp(0.0, -logits)


def _loss_if_not_clicked(logits: numpy.ndarray) -> numpy.ndarray:
    """-log(1 - σ(x)), stable for any x."""
    return numpy.logaddexp(0.0, logits)
