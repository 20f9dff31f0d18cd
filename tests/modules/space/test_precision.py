"""Bits as a choice of blocks: JSON, equality, what a space holds, draws and mutations."""

import dataclasses
import json

import numpy
import pytest

from modules.operators import FLOAT, PRECISIONS, Precision
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    Architecture,
    any_path,
    canonical,
    full_path,
    live,
    mutate,
    single_operator_any_connection,
    single_path,
    to_nasrec_json,
)
from modules.space.architecture import ALL_FLOAT, PRECISION_FIELDS, BlockPrecision
from modules.space.search_space import SPACES, space_of, with_bits
from modules.space.union import crossover, unite

MIXED = with_bits(OPEN)
CHOICES = {FLOAT, *PRECISIONS}


def drawn(space, count, seed=0, sampler=single_operator_any_connection):
    """Random architectures."""
    draws = numpy.random.default_rng(seed)
    return [sampler(space, draws) for _ in range(count)]


def test_json_gives_an_architecture_back():
    """Exactly, and equal architectures have equal JSON; read by the space with bits or by the one without."""
    for architecture in drawn(MIXED, 60):
        text = json.dumps(architecture.to_json())
        for space in (MIXED, OPEN):
            assert Architecture.from_json(json.loads(text), space) == architecture
        assert json.dumps(architecture.in_float().to_json()) != text or architecture.is_float


def test_a_floating_point_architecture_is_written_as_before():
    """Without a word on bits: files of earlier versions are read, and are equal byte for byte when written again."""
    for architecture in drawn(OPEN, 30):
        data = architecture.to_json()
        assert all("precision" not in block for block in data["blocks"])
        assert Architecture.from_json(data, MIXED) == architecture == architecture.in_float()
        assert architecture.is_float


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], r"block 1, precision: \[\]; expected an object with some of the keys \['dense', 'sparse'"),
        ({"head": [4, 4]}, "block 1, precision: .*expected an object"),
        ({"dense": 4}, "block 1, precision, dense: 4; expected a list of the weight bits and the activation bits"),
        ({"dense": [4, 4, 4]}, "block 1, precision, dense: .*expected a list"),
        ({"dense": [4, 5]}, r"block 1, precision, dense: Precision.activation_bits is 5; choose one of \[4, 6, 8\]"),
        ({"sparse": [True, 4]}, "block 1, precision, sparse: Precision.weight_bits is True"),
        ({"dense_to_sparse": [4, 4]}, "block 1, precision, dense_to_sparse: W4A4, but the block has no operator"),
    ],
)
def test_wrong_bits_are_named(data, message):
    """Block, field, what was found and what is allowed."""
    (architecture,) = drawn(NASREC_SMALL, 1)
    block = dataclasses.replace(architecture.blocks[0], dense_to_sparse=None)
    document = dataclasses.replace(architecture, blocks=(block, *architecture.blocks[1:])).to_json()
    document["blocks"][0]["precision"] = data
    with pytest.raises(ValueError, match=message):
        Architecture.from_json(document, NASREC_SMALL)


def test_a_space_without_bits_does_not_hold_them():
    """Nor can a file of the authors' format; the space with bits holds both."""
    (plain,) = drawn(NASREC_SMALL, 1)
    precision = BlockPrecision(dense=Precision(4, 6))
    own = dataclasses.replace(
        plain, blocks=(dataclasses.replace(plain.blocks[0], precision=precision), *plain.blocks[1:])
    )
    with pytest.raises(ValueError, match=r"block 1, precision, dense: W4A6 is not in nasrec_small; it has \['float'\]"):
        NASREC_SMALL.check(own)
    with pytest.raises(ValueError, match=r"no NasRec file of configuration 'autoctr' can hold this architecture.*W4A6"):
        to_nasrec_json(own, NASREC_SMALL)
    with_bits(NASREC_SMALL).check(own)
    with_bits(NASREC_SMALL).check(plain)
    with pytest.raises(ValueError, match="dense: float is not in nasrec_small"):
        with_bits(NASREC_SMALL, is_float_too=False).check(plain)


def test_sizes():
    """NASRec-Full with bits is beyond 10^54; a block has 100 times as many operators, and 11 states of a merger."""
    assert with_bits(NASREC_FULL).size() == NASREC_FULL.size() * (100 * 121 // 4) ** 7 > 10**54
    assert with_bits(OPEN, is_float_too=False).size() < MIXED.size()


@pytest.mark.parametrize("sampler", [single_operator_any_connection, single_path, any_path, full_path])
def test_samplers_draw_every_choice(sampler):
    """For every branch and merger alike; what is drawn is in the space; a space without bits is drawn as before."""
    found = {branch: set() for branch in PRECISION_FIELDS}
    for architecture in drawn(MIXED, 150 if sampler is not full_path else 20, sampler=sampler):
        MIXED.check_path(architecture)
        for block in architecture.blocks:
            made = {operator.branch for operator in block.operators()}
            for branch in made & set(found):
                found[branch].add(block.precision.of(branch))
    assert all(choices == CHOICES for choices in found.values())
    assert all(one.is_float for one in drawn(OPEN, 20, sampler=sampler))


@pytest.mark.parametrize("is_float_too", [True, False])
def test_mutations_and_crossings_stay_in_the_space(is_float_too):
    """Whatever is switched on gets bits of the space; a mutation of bits alone happens, and the child differs."""
    space, draws = with_bits(OPEN, is_float_too), numpy.random.default_rng(3)
    pool, bits_alone = drawn(space, 4), 0
    for _ in range(600):
        parent = pool[int(draws.integers(len(pool)))]
        child = mutate(parent, space, draws)
        space.check(child)
        bits_alone += child != parent and child.in_float() == parent.in_float()
        crossed = crossover(parent, child, space, draws)
        space.check(crossed)
        united = unite(parent, crossed, space)
        if united is not None:
            space.check(united)
        pool = [*pool[-5:], child]
    assert bits_alone > 30 or not is_float_too


def test_bits_of_what_is_dead_change_nothing():
    """Architectures that differ in those alone are the same network; in live ones they are not."""
    draws, dead, alive = numpy.random.default_rng(0), 0, 0
    for architecture in drawn(with_bits(NASREC_SMALL), 20, seed=7):
        for place, (block, state) in enumerate(zip(architecture.blocks, live(architecture), strict=True)):
            for branch in PRECISION_FIELDS:
                if not any(operator.branch == branch for operator in block.operators()):
                    continue
                others = sorted(CHOICES - {FLOAT, block.precision.of(branch)})
                changed = dataclasses.replace(block.precision, **{branch: others[int(draws.integers(len(others)))]})
                blocks = list(architecture.blocks)
                blocks[place] = dataclasses.replace(block, precision=changed)
                same = canonical(dataclasses.replace(architecture, blocks=tuple(blocks))) == canonical(architecture)
                assert same == (not getattr(state, branch))
                dead, alive = dead + same, alive + (not same)
    assert dead > 20 and alive > 20


def test_the_space_of_a_run():
    """By its name and whether bits are a choice."""
    assert space_of("open", "float") is SPACES["open"]
    assert space_of("open", "mixed") == MIXED
    assert set(MIXED.precisions) == CHOICES
    assert BlockPrecision() == ALL_FLOAT
