"""pipeline/training/table_widths.py: which widths are found, on problems whose answer is known."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.session import Session
from pipeline.training.frozen_rows import FrozenRows
from pipeline.training.standalone import build_trainee
from pipeline.training.table_widths import allotted, directions, found_widths, losses_by_width
from tests.pipeline.training.test_standalone import dlrm


class Readers(nn.Module):
    """A logit that reads field f through `ranks[f]` directions only: Σ_f Σ_k (a_fk · e_f) (a_fk · e_g), g the next."""

    def __init__(self, ranks: list[int], width: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.read = [torch.randn(rank, width, generator=generator) for rank in ranks]

    def forward(self, dense: Tensor, embedded: Tensor) -> Tensor:
        terms = [(embedded[:, field] @ matrix.T).tanh().sum(1) for field, matrix in enumerate(self.read)]
        return torch.stack(terms).sum(0)


def rows_of(fields: int, width: int, count: int = 3000) -> FrozenRows:
    """Random vectors, all directions alike."""
    generator = torch.Generator().manual_seed(2)
    embedded = torch.randn(count, fields, width, generator=generator)
    return FrozenRows(torch.zeros(count, 1), embedded, (torch.rand(count, generator=generator) < 0.5).float())


def test_directions_are_those_that_the_logit_reads() -> None:
    """Vectors that vary in all directions, read through r of them: with w ≥ r nothing is lost, with fewer much is, and
    with all directions a vector is itself."""
    ranks, width = [1, 3, 5], 8
    network, rows = Readers(ranks, width), rows_of(3, width)
    found = directions(network, rows)
    for into, back in found:
        torch.testing.assert_close(into @ back, torch.eye(width, dtype=torch.float64), rtol=0, atol=1e-6)
    whole = network(rows.dense, rows.embedded)
    for field, (into, back) in enumerate(found):
        for count in range(1, width):
            embedded = rows.embedded.double()
            embedded[:, field] = embedded[:, field] @ into[:, :count] @ back[:count]
            error = (network(rows.dense, embedded.float()) - whole).abs().mean()
            assert (error < 0.05) == (count >= ranks[field]), (field, count)


def test_losses_are_those_of_the_rows() -> None:
    """Of one field held to w directions, all others whole: the mean log loss less that of whole vectors."""
    network, rows = Readers([2, 4], 8), rows_of(2, 8, count=2500)
    found = directions(network, rows)
    losses = losses_by_width(network, rows, found, [1, 3])

    def log_loss(embedded: Tensor) -> float:
        logit = network(rows.dense, embedded).double()
        return float(nn.functional.binary_cross_entropy_with_logits(logit, rows.label.double()))

    for field, (into, back) in enumerate(found):
        for width, lost in losses[field].items():
            embedded = rows.embedded.clone()
            embedded[:, field] = (embedded[:, field].double() @ into[:, :width] @ back[:width]).float()
            assert lost == pytest.approx(log_loss(embedded) - log_loss(rows.embedded), abs=1e-6)


@given(
    st.lists(st.lists(st.floats(0.001, 1.0), min_size=3, max_size=3), min_size=1, max_size=4),
    st.lists(st.integers(1, 1000), min_size=4, max_size=4),
    st.floats(0, 1),
)
def test_widths_are_within_the_limit_and_near_the_best(steps: list[list[float]], rows: list[int], share: float) -> None:
    """Never above the limit; the loss is the least of all choices but for what one more step of one table saves (what
    a greedy choice of convex losses can lack); at the largest limit it is the least."""
    losses = [dict(zip((4, 8, 12), _falling(of), strict=True)) for of in steps]
    sizes = rows[: len(losses)]
    widths = (4, 8, 12, 16)
    full = [{**of, 16: 0.0} for of in losses]
    least, most = (4 * width * sum(sizes) for width in (4, 16))
    limit = least + share * (most - least)

    def size(chosen: tuple[int, ...]) -> int:
        return 4 * sum(width * count for width, count in zip(chosen, sizes, strict=True))

    def lost(chosen: tuple[int, ...]) -> float:
        return sum(of[width] for of, width in zip(full, chosen, strict=True))

    found = allotted(losses, sizes, limit)
    assert size(found) <= limit
    best = min(lost(one) for one in itertools.product(widths, repeat=len(sizes)) if size(one) <= limit)
    assert lost(found) <= best + max(max(of) for of in steps) + 1e-9
    assert allotted(losses, sizes, most) == (16,) * len(sizes)


def _falling(steps: list[float]) -> list[float]:
    """Losses at successive widths whose steps down, the last to 0, are these, largest first."""
    ordered = sorted(steps, reverse=True)
    return [sum(ordered[place:]) for place in range(len(ordered))]


def test_a_loss_that_rises_buys_nothing() -> None:
    """A wider table that does worse on the rows is not paid for, but a still wider one may be."""
    assert allotted([{4: 0.1, 8: 0.2, 12: 0.01}], [10], 4 * 10 * 16) == (16,)
    assert allotted([{4: 0.1, 8: 0.2, 12: 0.01}], [10], 4 * 10 * 12) == (12,)
    assert allotted([{4: -0.1, 8: 0.2, 12: 0.01}], [10], 4 * 10 * 16) == (4,)


def test_widths_of_a_trained_network(session: Session) -> None:
    """Multiples of 4 up to D whose tables take no more than the limit; the same when found again."""
    contender = dlrm(session)
    trainee = build_trainee(contender.session, contender.network, contender.recipe)
    limit = 0.6 * contender.session.table_bytes
    first, again = (found_widths(contender.session, contender.network, trainee, limit) for _ in range(2))
    assert first == again and set(first) <= {4, 8}
    sizes = session.dataset.schema.table_sizes
    assert 4 * sum(width * rows for width, rows in zip(first, sizes, strict=True)) <= limit
