"""pipeline/search/exact_sum.py: sums that do not depend on order or owners, against exact rational sums."""

import math
from fractions import Fraction

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.run.processes import Processes
from pipeline.search.exact_sum import BITS, Units, exact_sum

ALONE = Processes(0, 1, torch.device("cpu"))
NUMBERS = st.floats(-1e30, 1e30, allow_nan=False)


def split_sum(addends: Tensor, owners: list[int]) -> Tensor:
    """The sum as ranks make it, each of its own addends: largest bound, then totals of multiples."""
    ranks = [addends[[place for place, own in enumerate(owners) if own == rank]] for rank in range(3)]
    bounds = [own.abs().amax(0) if len(own) else addends.new_zeros(addends.shape[1]) for own in ranks]
    units = Units.of(torch.stack(bounds).amax(0) * (len(addends) + 1))
    totals = [units.multiples(own).sum(0) for own in ranks]
    return units.total(totals[2] + (totals[0] + totals[1]))


@given(
    rows=st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=1, max_size=40),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_neither_order_nor_owners_decide(rows: list[list[float]], order: object) -> None:
    """The same bits in any order and shared out at random; as near to the exact sum as the largest addends allow."""
    addends = torch.tensor(rows, dtype=torch.double)
    found = exact_sum(addends, len(rows), ALONE)
    shuffled = list(range(len(rows)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    owners = [order.randrange(3) for _ in rows]  # type: ignore[attr-defined]
    assert torch.equal(exact_sum(addends[shuffled], len(rows), ALONE), found)
    assert torch.equal(split_sum(addends[shuffled], owners), found)
    for column in range(2):
        exact = sum(Fraction(row[column]) for row in rows)
        bound = max(abs(row[column]) for row in rows) * (len(rows) + 1)
        assert abs(Fraction(float(found[column])) - exact) <= Fraction(2 * len(rows) * max(bound, 1e-250)) / 2**BITS


def test_small_columns_keep_their_digits() -> None:
    """Each column has a unit of its own: one of 1e-200 beside one of 1e200 is as precise; zeros stay zeros."""
    values = torch.linspace(-1, 2, 101).double()[:, None] * torch.tensor([1e-200, 1e200, 0.0], dtype=torch.double)
    found = exact_sum(values, 101, ALONE)
    for place in range(3):
        exact = float(sum(Fraction(float(value)) for value in values[:, place]))
        assert math.isclose(float(found[place]), exact, rel_tol=1e-12)


def test_what_is_not_finite() -> None:
    """A column with a NaN or an infinite addend is NaN, the others are what they are; no addends are zero."""
    addends = torch.tensor([[1.0, 1.0, 1.0], [math.nan, -math.inf, 2.0]]).double()
    found = exact_sum(addends, 2, ALONE)
    assert bool(found[:2].isnan().all()) and found[2] == 3
    assert torch.equal(exact_sum(addends[:0], 2, ALONE), torch.zeros(3).double())
