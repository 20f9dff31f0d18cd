"""pipeline/data/stream/position.py: every position once, on any ranks, across any restarts."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.stream.position import Assignment, Segment, assignment_after

SIZES = st.integers(1, 8)


def positions(pieces: list[tuple[int, int]]) -> list[int]:
    """The positions of some intervals, in order."""
    return list(itertools.chain.from_iterable(range(start, stop) for start, stop in pieces))


def handed_out(assignment: Assignment, steps: int) -> list[int]:
    """What all ranks together got in the first steps."""
    ranks = range(assignment.world_size)
    return [
        position for step in range(steps) for rank in ranks for position in positions(assignment.pieces(rank, step))
    ]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 200), SIZES, SIZES, SIZES, st.booleans())
def test_an_assignment_covers_everything_once(rows: int, world: int, batch: int, shards: int, drop_last: bool) -> None:
    """Over all steps every position is handed out once, but for the number said to be dropped."""
    assignment = assignment_after(rows, [], world, batch, shards, drop_last)
    seen = handed_out(assignment, assignment.steps)
    assert len(set(seen)) == len(seen) == rows - assignment.dropped
    assert assignment.dropped < world * batch
    assert drop_last or sorted(seen) == list(range(rows))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 200), SIZES, SIZES, SIZES, st.booleans())
def test_batches_are_full_and_never_empty(rows: int, world: int, batch: int, shards: int, drop_last: bool) -> None:
    """Every batch but the last has exactly B rows; the last at most B + 1; none is empty unless rows < ranks."""
    assignment = assignment_after(rows, [], world, batch, shards, drop_last)
    for rank in range(world):
        sizes = [len(positions(assignment.pieces(rank, step))) for step in range(assignment.steps)]
        assert all(size == batch for size in sizes[:-1])
        if sizes:
            assert sizes[-1] <= batch + 1
            assert sizes[-1] > 0 or rows < world
            assert not drop_last or sizes[-1] == batch


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 300), st.lists(st.tuples(SIZES, SIZES, st.floats(0, 1)), min_size=1, max_size=5), SIZES)
@pytest.mark.slow
def test_restarts_on_other_ranks(rows: int, runs: list[tuple[int, int, float]], shards: int) -> None:
    """Runs on different numbers of ranks, each stopped anywhere, hand out every position exactly once together."""
    segments: list[Segment] = []
    seen: list[int] = []
    for index, (world, batch, share) in enumerate(runs):
        assignment = assignment_after(rows, segments, world, batch, shards, drop_last=False)
        steps = assignment.steps if index == len(runs) - 1 else int(share * assignment.steps)
        seen += handed_out(assignment, steps)
        rest = positions(list(assignment.remaining(steps)))
        assert rest == sorted(rest)
        assert sorted(seen + rest) == list(range(rows))
        segments.append(Segment(world, batch, steps))
    assert sorted(seen) == list(range(rows))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.sampled_from([(1, 8), (2, 4), (4, 2), (8, 1)]), st.integers(1, 4))
def test_same_rows_a_step_on_more_ranks(rows: int, split: tuple[int, int], factor: int) -> None:
    """Ranks that divide the shards see together, step by step, what one rank with the whole batch sees."""
    world, batch = split
    alone = assignment_after(rows, [], 1, 8 * factor, 8, drop_last=True)
    together = assignment_after(rows, [], world, batch * factor, 8, drop_last=True)
    assert alone.steps == together.steps
    for step in range(alone.steps):
        shares = [positions(together.pieces(rank, step)) for rank in range(world)]
        assert [position for share in shares for position in share] == positions(alone.pieces(0, step))


def test_ranks_read_disjoint_stretches() -> None:
    """Each rank's rows (but for the tail) lie in a stretch of the order of its own: row groups are not shared."""
    assignment = assignment_after(1003, [], 4, 10, 8, drop_last=True)
    stretches = []
    for rank in range(4):
        mine = [position for step in range(assignment.steps) for position in positions(assignment.pieces(rank, step))]
        stretches.append((min(mine), max(mine)))
    assert all(before[1] < after[0] for before, after in itertools.pairwise(stretches))
