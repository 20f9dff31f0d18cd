"""pipeline/search/proposals.py: nothing is proposed twice, handed out twice or lost, over any commands."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from unittest import mock

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.space import (
    NASREC_SMALL,
    Architecture,
    InputShape,
    canonical,
    multiply_accumulates,
    parameter_count,
    single_operator_any_connection,
)
from pipeline.run.records.candidates import Candidate
from pipeline.search.limits import Limits
from pipeline.search.proposals import Proposals


def drawn(count: int, seed: int = 0) -> list[Architecture]:
    """Random architectures, all different networks."""
    generator = numpy.random.default_rng(seed)
    found: dict[Architecture, Architecture] = {}
    while len(found) < count:
        architecture = single_operator_any_connection(NASREC_SMALL, generator)
        found.setdefault(canonical(architecture), architecture)
    return list(found.values())


def proposed(architectures: Iterable[Architecture]) -> Proposals:
    """Proposals of these."""
    found = Proposals(Limits(), SHAPE)
    for architecture in architectures:
        assert found.propose(lambda architecture=architecture: architecture)  # type: ignore[misc]
    return found


def scored(architectures: Iterable[Architecture]) -> list[Candidate]:
    """Candidates of these."""
    return [Candidate(index, 0, one, 0.5, 1, 1) for index, one in enumerate(architectures)]


SHAPE = InputShape(integers=3, fields=5, embedding_width=4)
POOL = drawn(8)


@pytest.fixture(autouse=True, scope="module")
def few_attempts() -> Iterator[None]:
    """Sources are given up after 4 draws."""
    with mock.patch("pipeline.search.proposals._ATTEMPTS", 4):
        yield


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["propose", "ask", "settle"]), st.integers(0, 7))))
def test_against_plain_lists(commands: list[tuple[str, int]]) -> None:
    """Whatever is done in whatever order, it holds what two lists and a set of networks would."""
    proposals, waiting, asked = Proposals(Limits(), SHAPE), list[Architecture](), list[Architecture]()
    seen: set[Architecture] = set()
    for command, number in commands:
        match command:
            case "propose":
                assert proposals.propose(lambda number=number: POOL[number]) == (POOL[number] not in seen)  # type: ignore[misc]
                waiting += [POOL[number]] if POOL[number] not in seen else []
                seen.add(POOL[number])
            case "ask":
                assert proposals.ask(number) == waiting[:number]
                asked, waiting = asked + waiting[:number], waiting[number:]
            case "settle":
                proposals.settle(scored(asked[number:]))
                asked = asked[:number]
        assert len(proposals) == len(waiting) + len(asked) and proposals.proposed == len(seen)


def test_the_same_network_is_not_proposed_again() -> None:
    """Architectures that differ in dead parts only are one network; draws repeat until there is a new one."""
    generator = numpy.random.default_rng(1)
    while True:
        one = single_operator_any_connection(NASREC_SMALL, generator)
        first = one.blocks[0]
        width = next(width for width in NASREC_SMALL.dense_widths if width != first.dense_width)
        same = dataclasses.replace(one, blocks=(dataclasses.replace(first, dense_width=width), *one.blocks[1:]))
        if canonical(one) == canonical(same):
            break
    (other,) = drawn(1, seed=2)
    proposals = proposed([one])
    draws = itertools.chain([one, same, same, other], itertools.repeat(one))
    assert proposals.propose(lambda: next(draws))
    assert proposals.ask(9) == [one, other] and proposals.proposed == 2
    assert not proposals.propose(lambda: next(draws)), "a source without anything new is given up"
    proposals.settle(scored([one, other]))
    assert not proposals.propose(lambda: same), "a scored network is not proposed again"
    assert len(proposals) == 0


def test_what_was_not_asked_is_not_settled() -> None:
    """A candidate of another search, one still waiting, and one scored twice are ValueErrors that change nothing."""
    first, second, unknown = drawn(3)
    proposals = proposed([first, second])
    proposals.ask(1)
    for wrong in ([first, second], [first, unknown], [first, first]):
        with pytest.raises(ValueError, match="candidate 1 was scored but not asked, or scored twice"):
            proposals.settle(scored(wrong))
        assert len(proposals) == 2
    proposals.settle(scored([first]))
    with pytest.raises(ValueError, match="candidate 0 was"):
        proposals.settle(scored([first]))
    assert proposals.ask(9) == [second]


def test_draws_over_a_limit_are_repeated() -> None:
    """Only the architecture within the limit is proposed; with none left in as many draws as are tried the source is
    given up, and where that is so from the start a ValueError says what the cheapest would cost."""
    cheap, dear = sorted(POOL[:2], key=lambda one: multiply_accumulates(one, SHAPE))
    least = multiply_accumulates(cheap, SHAPE)
    proposals, draws = Proposals(Limits(max_mflops=least / 1e6), SHAPE), itertools.cycle([dear, cheap])
    assert proposals.propose(lambda: next(draws)) and proposals.ask(9) == [cheap]
    assert not proposals.propose(lambda: next(draws))
    nothing = Proposals(Limits(max_mflops=(least - 1) / 1e6), SHAPE)
    message = rf"none of 4 random .* the least had {least / 1e6:.4g} million multiply-accumulates, the least [\d,]+ par"
    with pytest.raises(ValueError, match=message):
        nothing.propose(lambda: next(draws))
    fewest = min(parameter_count(one, SHAPE) for one in (cheap, dear))
    with pytest.raises(ValueError, match=rf"search\.max_params {fewest - 1}: .* the least {fewest:,} parameters"):
        Proposals(Limits(max_params=fewest - 1), SHAPE).propose(lambda: next(draws))
