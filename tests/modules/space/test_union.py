"""modules/space/union.py: unions compute both networks' features; crossed and narrowed models stay in their space."""

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.operators import InputShape
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    canonical,
    live,
    multiply_accumulates,
    single_operator_any_connection,
)
from modules.space.handmade import HANDMADE, handmade
from modules.space.union import crossover, narrow, unite, widen
from modules.supernet import Supernet, extract

SHAPE = InputShape(integers=5, fields=6, embedding_width=8)


def drawn(seed: int):
    """A random architecture of the open space."""
    return single_operator_any_connection(OPEN, numpy.random.default_rng(seed))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_union_is_of_the_space(first: int, second: int) -> None:
    """Whatever two networks are joined: the result is in the space and has no dead block but a first, or there is none
    because of too many blocks."""
    own, other = drawn(first), drawn(second)
    found = unite(own, other, OPEN)
    if found is None:
        assert len(own.blocks) + len(other.blocks) > OPEN.num_blocks
        return
    OPEN.check(found)
    assert found.stem.vectors == max(own.stem.vectors, other.stem.vectors)
    alive = live(found)
    assert len(alive) == 1 or all(one.dense or one.sparse for one in alive)


def test_a_union_reads_what_both_heads_read() -> None:
    """On a supernet's weights, the features that the union's head joins are those of both networks: DLRM and DCN-v2
    (parallel), which have the same stem once both are narrowed."""
    first, second = (narrow(handmade(name, SHAPE), 64, OPEN) for name in ("dlrm", "dcn_v2_parallel"))
    united = unite(first, second, OPEN)
    assert united is not None
    supernet = Supernet(OPEN, SHAPE)
    dense, sparse = torch.rand(3, SHAPE.integers), torch.rand(3, SHAPE.fields, SHAPE.embedding_width)
    widths = [extract(supernet, one).features(dense, sparse).shape[1] for one in (first, second, united)]
    assert widths[2] == widths[0] + widths[1]


def test_a_union_with_itself_is_the_same_network() -> None:
    """Blocks that both have are there once."""
    for seed in range(20):
        own = drawn(seed)
        assert canonical(unite(own, own, OPEN)) == canonical(own)


def test_no_union_without_a_free_head() -> None:
    """NASRec's spaces fix what the head reads, so two networks cannot stand side by side."""
    generator = numpy.random.default_rng(0)
    first, second = (single_operator_any_connection(NASREC_SMALL, generator) for _ in range(2))
    assert unite(first, second, NASREC_SMALL) is None


@pytest.mark.parametrize("space", [NASREC_SMALL, NASREC_FULL, OPEN], ids=lambda space: space.name)
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_a_crossing_is_of_the_space(space, seed: int) -> None:
    """Of any two networks; where blocks keep their places each is one parent's with the same number, and with itself a
    network stays what it is."""
    generator = numpy.random.default_rng(seed)
    first, second = (single_operator_any_connection(space, generator) for _ in range(2))
    found = crossover(first, second, space, generator)
    space.check(found)
    assert canonical(crossover(first, first, space, generator)) == canonical(first)
    if len(space.depths) == 1:
        assert all(block in pair for block, *pair in zip(found.blocks, first.blocks, second.blocks, strict=True))


def test_a_crossing_has_blocks_of_both() -> None:
    """Over 200 crossings a block is either parent's equally often, within 4 sigma."""
    generator = numpy.random.default_rng(0)
    taken = []
    for _ in range(200):
        first, second = (single_operator_any_connection(NASREC_FULL, generator) for _ in range(2))
        found = crossover(first, second, NASREC_FULL, generator)
        pairs = zip(found.blocks, first.blocks, second.blocks, strict=True)
        taken += [block == own for block, own, other in pairs if own != other]
    assert abs(numpy.mean(taken) - 0.5) < 4 * 0.5 / len(taken) ** 0.5


@pytest.mark.parametrize("name", HANDMADE)
def test_widened_hand_made_models(name: str) -> None:
    """They stay in the space, as deep, with no layer narrower than before nor more than so many times as wide."""
    own = handmade(name, SHAPE)
    wide = widen(own, 4, OPEN)
    OPEN.check(wide)
    assert (len(wide.blocks), wide.head, wide.stem) == (len(own.blocks), own.head, own.stem)
    for before, after in zip(own.blocks, wide.blocks, strict=True):
        assert before.dense_width <= after.dense_width <= 4 * before.dense_width
    assert widen(own, 1, OPEN) == own
    assert multiply_accumulates(wide, SHAPE) >= multiply_accumulates(own, SHAPE)


@pytest.mark.parametrize("name", HANDMADE)
def test_narrowed_hand_made_models(name: str) -> None:
    """They stay in the space, as deep as before, no wider than asked, and cost no more."""
    own = handmade(name, SHAPE)
    small = narrow(own, 64, OPEN)
    OPEN.check(small)
    assert len(small.blocks) == len(own.blocks) and small.head == own.head
    assert all(block.dense_width <= 64 for block in small.blocks)
    assert multiply_accumulates(small, SHAPE) <= multiply_accumulates(own, SHAPE)
    assert narrow(small, 64, OPEN) == small
