"""Columns of the widest network's matrices against labels written on every column, and what operators read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.operators import Inputs, InputShape, Operator, Read, Slot, StemShape
from modules.space import OPEN, SPACES

SLOTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=4)
"""Unused columns, active columns, unused columns of each slot."""
OPERATORS = {
    operator.name: operator
    for space in SPACES.values()
    for operator in (*space.dense_operators, *space.sparse_operators, space.dense_to_sparse, space.sparse_to_dense)
    if operator is not None
}


def slots(widths) -> tuple[Slot, ...]:
    """Slots side by side."""
    found, start = [], 0
    for before, active, after in widths:
        found.append(Slot(start, before + active + after, (before, before + active)))
        start += before + active + after
    return tuple(found)


def labels(side, widths, repeat) -> list[tuple]:
    """What stands in each column, from the first slot on: side, output, number in it if active, place in a vector."""
    return [
        (side, output, number - before if before <= number < before + active else None, place)
        for output, (before, active, after) in enumerate(widths)
        for number in range(before + active + after)
        for place in range(repeat)
    ]


@given(SLOTS, SLOTS, st.integers(1, 3), st.integers(0, 5), st.data())
def test_joined_columns_are_the_active_ones_of_their_outputs(dense, sparse, width, start, data):
    """They name the chosen outputs' numbers and no others, in order, vector by vector, behind the region's start."""
    inputs = Inputs(StemShape(1, 1, width), slots(dense), slots(sparse))
    chosen = [data.draw(st.lists(st.integers(0, len(side) - 1), unique=True)) for side in (dense, sparse)]
    matrix = [None] * start + labels("dense", dense, 1) + labels("sparse", sparse, width)
    columns = inputs.joined_columns(*map(tuple, chosen), start=start)
    found = [label for first, last in columns for label in matrix[first:last]]
    assert found == [
        (side, output, number, place)
        for side, widths, outputs, repeat in (("dense", dense, chosen[0], 1), ("sparse", sparse, chosen[1], width))
        for output in outputs
        for number in range(widths[output][1])
        for place in range(repeat)
    ]
    assert inputs.joined_size == len(matrix) - start
    assert inputs.dense_size == len(labels("dense", dense, 1))


@given(SLOTS, SLOTS, st.data())
def test_widths_are_those_of_the_columns(dense, sparse, data):
    """An output is as wide as the columns that it uses; several are as wide as all of theirs."""
    inputs = Inputs(StemShape(1, 1, 2), slots(dense), slots(sparse))
    for side, widths in (("dense", dense), ("sparse", sparse)):
        sources = tuple(data.draw(st.lists(st.integers(0, len(widths) - 1), unique=True)))
        columns = getattr(inputs, f"{side}_columns")(sources)
        matrix = labels(side, widths, 1)
        active = [label for first, last in columns for label in matrix[first:last]]
        assert active == [(side, k, number, 0) for k in sources for number in range(widths[k][1])]
        assert getattr(inputs, f"{side}_width")(sources) == len(active)


@given(*(st.integers(1, 5) for _ in range(3)), st.integers(0, 4), st.integers(0, 4), st.integers(0, 9))
def test_stems_share_the_columns_of_the_same_numbers(integers, fields, width, vectors, more, start):
    """A field's columns are the same whatever the stem; the integers' are no other number's; all fit in the region."""
    most = Slot(0, fields + vectors + more, (0, fields + vectors))
    plain, made = (Inputs(StemShape(integers, fields, width, number), (), (most,)) for number in (0, vectors))
    own, stem = plain.stem_columns(start)
    assert own[1] - own[0] == integers and stem[1] - stem[0] == fields * width
    assert own[0] == start and own[1] <= stem[0]
    if vectors:
        ((first, last),) = made.stem_columns(start)
        assert first == stem[0] and last - first == (fields + vectors) * width
        assert last <= start + made.stem_size
    assert made.shape.vectors == fields + vectors


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_a_read_names_the_choice_that_made_it(operator: Operator):
    """An output that is read by choice is among the block's own for that choice; what has no choice is fixed."""
    block = OPEN.widest_block(3)
    for variant in operator.variants():
        for read in variant.reads(block):
            if read.choice is None:
                assert read.output == (None if read.role == "own" else 0)
            else:
                chosen = getattr(block, read.choice)
                assert read.output in (chosen if isinstance(chosen, tuple) else (chosen,))


def test_reads_of_one_output_differ_by_how_it_is_read():
    """Every side and role has a choice of its own; the two without one are equal in that."""
    reads = [Read("dense", 1), Read("sparse", 1), Read("dense", 1, "left"), Read("dense", 1, "right")]
    assert len({read.choice for read in reads}) == len(set(reads)) == 4
    assert Read("dense", None, "own").choice is Read("dense", 0, "stem").choice is None


@pytest.mark.parametrize("field", ["integers", "fields", "embedding_width"])
@pytest.mark.parametrize("shape", [InputShape, StemShape])
def test_an_empty_shape_is_refused(shape, field):
    """One of everything is the smallest shape; none of one thing is an error that names it."""
    sizes = {"integers": 1, "fields": 1, "embedding_width": 1}
    shape(**sizes)
    with pytest.raises(ValueError, match=rf"{field} is 0"):
        shape(**{**sizes, field: 0})
