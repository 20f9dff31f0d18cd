"""Both sides of the comparison of candidates are given the same rows; how the reference's cost is put together."""

import torch

from benchmarks.candidate import ReferenceCost, Timed, batches_of, looked_up
from benchmarks.supernet_step import SHAPE, Tables


def test_our_rows_are_those_of_the_batches() -> None:
    """Row by row: integers, label, and of each field the vector of its id."""
    tables, batches = Tables(SHAPE), batches_of(4, 3, seed=0)
    frozen = looked_up(tables, batches)
    for index in range(12):
        dense, ids, label = (column[index % 4] for column in batches[index // 4])
        assert torch.equal(frozen.dense[index], dense)
        assert frozen.label[index] == label[0]
        for field, table in enumerate(tables.tables):
            assert torch.equal(frozen.embedded[index, field], table(ids[field]))


def test_batches_are_timed_anew_at_each_reading() -> None:
    """The reference looks at a first batch before it trains: only the last reading counts."""
    timed = Timed(batches_of(4, 3, seed=0))
    next(iter(timed))
    assert len(list(timed)) == len(timed.times) == 3
    timed.times = [1.0, 1.5, 3.0]
    assert timed.seconds_each() == 1.0


def test_a_cost_grows_with_steps_and_batches() -> None:
    """What happens once is counted once."""
    assert ReferenceCost(fixed=2.0, step=0.5, batch=10.0).total(steps=50, batches=10) == 127.0
