"""pipeline/search/racing.py: who goes on to more rows, and scores that different numbers of rows gave."""

import math

import numpy
import pytest
import torch
from torch import Tensor

from pipeline.search.racing import Score, difference, mean, settle, survivors

ROWS = 4000


def losses(*shifts: float, noise: float = 0.05) -> list[Tensor]:
    """Networks' losses: large differences from row to row that all share, small ones of each, and each one's mean."""
    generator = numpy.random.default_rng(0)
    shared = generator.exponential(0.5, ROWS)
    return [torch.from_numpy(shared + shift + noise * generator.standard_normal(ROWS)).float() for shift in shifts]


def test_difference_is_the_paired_one() -> None:
    """Its mean and standard error are numpy's of the rows' differences: far smaller than that of either mean."""
    one, other = losses(0.0, 0.01)
    own = (one[:500] - other[:500]).double().numpy()
    less, error = difference(one[:500], other)
    assert (less, error) == pytest.approx((own.mean(), own.std(ddof=1) / math.sqrt(500)), rel=1e-6)
    assert error < 0.2 * float(one[:500].std()) / math.sqrt(500)
    assert math.isnan(difference(one[:1], other)[1])


def test_who_is_clearly_worse_stops() -> None:
    """Of places for two, whoever is more than three standard errors behind the second stops; the second itself and who
    is as good as it go on, and so does everyone with no errors, or with as few networks as places."""
    running = dict(enumerate(losses(0.0, 0.01, 0.011, 0.03)))
    assert survivors(running, [], 2, 3.0) == (0, 1, 2)
    assert survivors(running, [], 1, 3.0) == (0,)
    assert survivors(running, [], 2, 1e6) == survivors(running, [], 2, 0) == survivors(running, [], 5, 3.0)
    assert survivors(running, [], 2, 0) == (0, 1, 2, 3)


def test_contenders_hold_places() -> None:
    """Candidates are compared with the best before them: two better ones leave none of these."""
    *running, first, second = losses(0.02, 0.03, 0.0, 0.001)
    assert survivors(dict(enumerate(running)), [first, second], 2, 3.0) == ()
    assert survivors(dict(enumerate(running)), [first], 2, 3.0) == (0,)


def test_what_is_not_finite_stops() -> None:
    """Always, and holds no place."""
    bad, good, other = losses(0.0, 0.0, 0.05)
    bad[7] = math.nan
    for errors in (0.0, 3.0):
        assert survivors({3: bad, 5: good}, [], 1, errors) == (5,)
    assert survivors({0: bad, 1: other}, [good * math.inf], 1, 3.0) == (1,)


def test_scores_of_all_rows_are_means() -> None:
    """And the error is that of the difference to the last place's: 0 for that one itself."""
    judged = losses(0.0, 0.02, 0.01)
    found = settle(judged, [], 2, ROWS)
    assert [one.log_loss for one in found] == [mean(one) for one in judged]
    assert found[2].error == 0 and {one.rows for one in found} == {ROWS}
    assert [one.error for one in found[:2]] == [difference(one, judged[2])[1] for one in judged[:2]]


def test_estimates_are_comparable() -> None:
    """A candidate that stopped has a score much nearer to its mean on all rows than its mean on the rows it saw, whose
    rows are easier or harder; within four of its standard errors over many networks."""
    reference, *others = losses(0.0, *numpy.linspace(0.005, 0.1, 40))
    seen = ROWS // 8
    found = settle([reference, *(one[:seen] for one in others)], [], 1, ROWS)[1:]
    errors = numpy.array([one.log_loss - mean(whole) for one, whole in zip(found, others, strict=True)])
    naive = numpy.array([mean(whole[:seen]) - mean(whole) for whole in others])
    assert numpy.abs(errors).mean() < 0.3 * numpy.abs(naive).mean()
    assert all(abs(error) < 4 * one.error for error, one in zip(errors, found, strict=True))
    assert {one.rows for one in found} == {seen}


def test_failed_ones_and_their_company() -> None:
    """A network that fails on later rows is no one's reference; where all that went on fail, a stopped one keeps the
    mean of its rows. One row has no standard error."""
    late, other, stopped = losses(0.0, 0.01, 0.1)
    late[-1] = math.inf
    found = settle([late, other, stopped[:500]], [], 1, ROWS)
    assert not math.isfinite(found[0].log_loss) and found[0].error is None
    assert found[2].log_loss == mean(other) + difference(stopped[:500], other)[0]
    assert settle([late, stopped[:500]], [], 1, ROWS)[1] == Score(mean(stopped[:500]), 500, None)
    assert settle([other[:1]], [], 1, 1) == [Score(mean(other[:1]), 1, None)]
