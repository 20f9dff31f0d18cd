"""modules/supernet/siblings.py: features of networks computed together are those of each computed alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import torch

from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    Architecture,
    InputShape,
    SearchSpace,
    mutate,
    single_operator_any_connection,
)
from modules.space.plan import plan
from modules.supernet import Siblings, Subnet, Supernet, extract

SHAPE = InputShape(3, 5, 8)


def family(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Random architectures and mutations of them and of each other, some of them the same network twice."""
    generator = numpy.random.default_rng(seed)
    found = [single_operator_any_connection(space, generator)]
    while len(found) < count:
        if generator.random() < 0.2:
            found.append(single_operator_any_connection(space, generator))
        found.append(mutate(found[int(generator.integers(len(found)))], space, generator))
    return found


def made(space: SearchSpace, architectures: list[Architecture]) -> tuple[Siblings, list[Subnet], Supernet]:
    """The networks together, and each alone."""
    supernet = Supernet(space, SHAPE, torch.Generator().manual_seed(0))
    networks = [extract(supernet, one).eval() for one in architectures]
    return Siblings(supernet, architectures, networks), networks, supernet


@pytest.mark.parametrize("space", [NASREC_SMALL, NASREC_FULL, OPEN], ids=lambda space: space.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_features_are_those_of_each_alone(space: SearchSpace, seed: int) -> None:
    """To the last bit, in the networks' order, with every operator, stem, merger and head of the space; also where
    several threads ask at once. Together they compute less; what they would compute alone is the sum of their parts."""
    architectures = family(space, 16, seed)
    siblings, networks, supernet = made(space, architectures)
    generator = torch.Generator().manual_seed(1)
    rows = [(torch.rand(70, 3, generator=generator), torch.randn(70, 5, 8, generator=generator)) for _ in range(4)]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            expected = [[network.features(*own) for network in networks] for own in rows]

        def together(own: tuple[torch.Tensor, torch.Tensor]) -> list[torch.Tensor]:
            with torch.no_grad():
                return list(siblings.features(*own))

        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(together, rows))
    finally:
        torch.set_num_threads(before)
    for alone, shared in zip(expected, found, strict=True):
        assert len(alone) == len(shared)
        assert all(torch.equal(one, other) for one, other in zip(alone, shared, strict=True))
    parts = [part for one in architectures for part in plan(one, SHAPE, supernet.slots) if part.path != "head"]
    assert siblings.separate_multiply_accumulates == sum(part.multiply_accumulates for part in parts)
    assert siblings.multiply_accumulates < siblings.separate_multiply_accumulates


def test_a_network_twice_costs_what_it_does_once() -> None:
    """The same network again computes nothing new; two networks that begin differently share nothing."""
    first, second = (single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(seed)) for seed in (0, 5))
    once, _, _ = made(NASREC_SMALL, [first])
    twice, _, _ = made(NASREC_SMALL, [first, first])
    assert once.multiply_accumulates == once.separate_multiply_accumulates == twice.multiply_accumulates
    both, _, _ = made(NASREC_SMALL, [first, second])
    other, _, _ = made(NASREC_SMALL, [second])
    assert both.multiply_accumulates == once.multiply_accumulates + other.multiply_accumulates


def test_what_is_not_read_again_is_forgotten() -> None:
    """While one network's features are at hand, only outputs that a later calculation reads are held."""
    architectures = family(NASREC_SMALL, 6, 3)
    siblings, networks, _ = made(NASREC_SMALL, architectures)
    inputs = torch.rand(4, 3), torch.randn(4, 5, 8)
    with torch.no_grad():
        features = siblings.features(*inputs)
        for place, _ in enumerate(networks):
            next(features)
            held = set(features.gi_frame.f_locals["values"])
            ends = [index for index, one in enumerate(siblings._calculations) if one.is_features]
            later = {number for one in siblings._calculations[ends[place] + 1 :] for number in one.inputs}
            assert held - later <= set(siblings._calculations[ends[place]].inputs)
