"""How wide each embedding table is under a limit of bytes, by what a trained network loses without, or by its size.

Which of the two rules gives the better networks differs from log to log: the race trains with both.

By loss: a first training has tables that are all D wide. Of each table the directions are found that the logit needs:
the best approximation of rank w of its vectors in the metric of the loss (frequent ids count as often as rows hold
them, and a direction as much as the logit follows it). What the network loses on validation rows when one table is
held to its first w directions, all others whole, is the price of that width; the widths are chosen greedily, by loss
per byte.

R rows, F fields, D embedding width, w width of a table.
"""

import heapq
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.embeddings import BYTES_PER_NUMBER
from pipeline.run.records.recipe import WIDTH_STEP
from pipeline.session import Session
from pipeline.training.evaluating import evaluating
from pipeline.training.frozen_rows import FrozenRows, load_frozen_rows
from pipeline.training.trainee import Trainee

ROWS = 16_384
"""Training rows that tell the directions, and validation rows that tell the losses, at most."""
RIDGE = 1e-4
"""Added to the metric's diagonal, as a share of its mean, so that it can be inverted."""
SIZE_POWER = 0.3
"""Widths by size fall with this power of a table's rows (arXiv:1909.11810: .3 was the best one on Criteo's log)."""


def widths_by_size(table_sizes: Sequence[int], width: int, max_bytes: float) -> tuple[int, ...]:
    """Widths ∝ rows^-.3 from `WIDTH_STEP` to D, rounded to its multiples, as wide as `max_bytes` allows.

    >>> widths_by_size([10, 10_000], width=32, max_bytes=4 * (32 * 10 + 8 * 10_000))
    (32, 8)
    """
    chosen, scale = (WIDTH_STEP,) * len(table_sizes), 1.0
    while min(chosen) < width:
        rounded = (WIDTH_STEP * round(scale * rows**-SIZE_POWER / WIDTH_STEP) for rows in table_sizes)
        found = tuple(min(max(own, WIDTH_STEP), width) for own in rounded)
        if BYTES_PER_NUMBER * sum(own * rows for own, rows in zip(found, table_sizes, strict=True)) > max_bytes:
            break
        chosen, scale = found, scale * 1.01
    return chosen


def found_widths(session: Session, network: nn.Module, trainee: Trainee, max_bytes: float) -> tuple[int, ...]:
    """The widths of tables of at most `max_bytes` together, given a network trained with tables that are D wide.

    Every rank calls it and finds the same. The session has checked that the narrowest tables are within the limit.
    """
    return allotted(measured_losses(session, network, trainee), session.dataset.schema.table_sizes, max_bytes)


def measured_losses(session: Session, network: nn.Module, trainee: Trainee) -> list[dict[int, float]]:
    """For each table: width below D → what the network loses when the table is held to it, nats per validation row."""
    fit, judge = (
        load_frozen_rows(trainee.embeddings, session.dataset, split, ROWS, session.processes, session.config.seed)
        for split in ("train", "valid")
    )
    widths = range(WIDTH_STEP, session.shape.embedding_width, WIDTH_STEP)
    with evaluating(network):
        return losses_by_width(network, judge, directions(network, fit), widths)


def directions(network: nn.Module, rows: FrozenRows) -> list[tuple[Tensor, Tensor]]:
    """For each field two matrices [D, D]: x A[:, :w] B[:w] approximates a vector x by w numbers, the best first.

    With C the mean of e eᵀ over rows, and G that of p (1 − p) g gᵀ, g the logit's gradient by e: the loss of leaving
    out δ is about ½ E[p (1 − p) (gᵀ δ)²], which for independent g and e is least for the leading eigenvectors of
    G^½ C G^½.
    """
    count, fields, width = rows.embedded.shape
    spread, metric = (torch.zeros(fields, width, width, dtype=torch.float64) for _ in range(2))
    for part in rows.chunks():
        leaf = part.embedded.detach().requires_grad_()
        logit = network(part.dense, leaf).double()
        (gradient,) = torch.autograd.grad(logit.sum(), leaf)
        probability = logit.detach().sigmoid()
        counted = torch.ones_like(logit) if part.factor is None else part.factor.double()
        weighted = gradient.double() * (counted * probability * (1 - probability)).sqrt()[:, None, None]
        vectors = leaf.detach().double() * counted.sqrt()[:, None, None]
        spread += torch.einsum("rfd,rfe->fde", vectors, vectors).cpu() / count
        metric += torch.einsum("rfd,rfe->fde", weighted, weighted).cpu() / count
    return [_directions(*pair) for pair in zip(spread, metric, strict=True)]


def _directions(spread: Tensor, metric: Tensor) -> tuple[Tensor, Tensor]:
    scale = metric.diagonal().mean()
    values, vectors = torch.linalg.eigh(metric + (RIDGE * scale + 1e-30) * torch.eye(len(metric)))
    root = vectors * values.sqrt() @ vectors.T
    inverse = vectors / values.sqrt() @ vectors.T
    leading = torch.linalg.eigh(root @ spread @ root)[1].flip(1)  # the largest first
    return root @ leading, leading.T @ inverse


@torch.no_grad()
def losses_by_width(
    network: nn.Module, rows: FrozenRows, found: Sequence[tuple[Tensor, Tensor]], widths: Sequence[int]
) -> list[dict[int, float]]:
    """For each field: width → what rows lose, nats per row, when its vectors are held to as many directions."""
    total = [dict.fromkeys(widths, 0.0) for _ in found]
    for part in rows.chunks():
        whole = _loss(network, part, part.embedded)
        for field, (into, back) in enumerate(found):
            for width in widths:
                embedded = part.embedded.clone()
                held = embedded[:, field].double().cpu() @ into[:, :width] @ back[:width]
                embedded[:, field] = held.to(embedded)
                total[field][width] += _loss(network, part, embedded) - whole
    count = len(rows.label)
    return [{width: lost / count for width, lost in of.items()} for of in total]


def _loss(network: nn.Module, rows: FrozenRows, embedded: Tensor) -> float:
    logit = network(rows.dense, embedded).double()
    return len(rows) * float(binary_cross_entropy_with_logits(logit, rows.label.double(), rows.factor))


def allotted(losses: Sequence[dict[int, float]], table_sizes: Sequence[int], max_bytes: float) -> tuple[int, ...]:
    """A width for each table, so that all take at most `max_bytes`: from the narrowest, always the widening that saves
    most loss per byte. `losses`: for each table width → loss, in steps of `WIDTH_STEP`; with one step more it is 0.

    A loss that rises with the width is luck of the rows: widths are compared by the least loss up to each.

    >>> allotted([{4: 0.2, 8: 0.1}, {4: 0.01, 8: 0.0}], table_sizes=[10, 10], max_bytes=4 * 10 * (12 + 4))
    (12, 4)
    """
    curves = [_curve(of) for of in losses]
    chosen = [min(curve) for curve in curves]
    left = max_bytes - BYTES_PER_NUMBER * sum(rows * width for rows, width in zip(table_sizes, chosen, strict=True))
    assert left >= 0, "the caller checks the limit"
    waiting: list[tuple[float, int, int]] = []

    def offer(table: int) -> None:
        curve, width = curves[table], chosen[table]
        wider = [other for other in curve if other > width]
        if wider:
            price = {other: (curve[width] - curve[other]) / ((other - width) * table_sizes[table]) for other in wider}
            best = max(wider, key=lambda other: (price[other], -other))
            if price[best] > 0:
                heapq.heappush(waiting, (-price[best], table, best))

    for table in range(len(curves)):
        offer(table)
    while waiting:
        _, table, width = heapq.heappop(waiting)
        cost = BYTES_PER_NUMBER * table_sizes[table] * (width - chosen[table])
        if cost <= left:
            left -= cost
            chosen[table] = width
            offer(table)
    return tuple(chosen)


def _curve(losses: dict[int, float]) -> dict[int, float]:
    """Width → least loss up to it, the whole width among them."""
    least, curve = float("inf"), dict[int, float]()
    for width, lost in [*sorted(losses.items()), (WIDTH_STEP + max(losses, default=0), 0.0)]:
        least = min(least, lost)
        curve[width] = least
    return curve
