"""pipeline/search/proposals.py: nothing is proposed twice, handed out twice or lost, over any restart."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator
from unittest import mock

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.space import NASREC_SMALL, OPEN, Architecture, canonical, single_operator_any_connection
from pipeline.run.records.candidates import Candidate
from pipeline.search.proposals import Proposals, check_state, generator_state


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
    found = Proposals()
    for architecture in architectures:
        assert found.propose(lambda architecture=architecture: architecture)  # type: ignore[misc]
    return found


def scored(architectures: Iterable[Architecture]) -> list[Candidate]:
    """Candidates of these."""
    return [Candidate(index, 0, one, 0.5, 1, 1) for index, one in enumerate(architectures)]


def restarted(proposals: Proposals) -> Proposals:
    """As a new process has them, from JSON."""
    found = Proposals()
    found.load_state_dict(json.loads(json.dumps(proposals.state_dict())), NASREC_SMALL)
    return found


POOL = drawn(8)


@pytest.fixture(autouse=True, scope="module")
def few_attempts() -> Iterator[None]:
    """Sources are given up after 4 draws."""
    with mock.patch("pipeline.search.proposals._ATTEMPTS", 4):
        yield


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["propose", "ask", "settle", "restart"]), st.integers(0, 7))))
def test_against_plain_lists(commands: list[tuple[str, int]]) -> None:
    """Whatever is done in whatever order, it holds what two lists and a set of networks would."""
    proposals, waiting, asked = Proposals(), list[Architecture](), list[Architecture]()
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
            case "restart":
                proposals = restarted(proposals)
                waiting, asked = asked + waiting, []
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


def test_architectures_of_the_open_space_survive_a_restart() -> None:
    """Depth, stem, head and options come back, and the networks are still known."""
    generator = numpy.random.default_rng(4)
    architectures = [single_operator_any_connection(OPEN, generator) for _ in range(5)]
    proposals, resumed = proposed(architectures), Proposals()
    resumed.load_state_dict(json.loads(json.dumps(proposals.state_dict())), OPEN)
    assert resumed.ask(9) == architectures
    assert not resumed.propose(lambda: architectures[2])


def test_a_broken_state_is_named() -> None:
    """A ValueError that says where an architecture in the state is not one of the space."""
    state = proposed(drawn(1)).state_dict()
    state["waiting"][0]["blocks"][0]["dense_width"] = 17
    with pytest.raises(ValueError, match=r"search state, waiting.*block 1, dense_width: 17"):
        Proposals().load_state_dict(state, NASREC_SMALL)


@given(st.integers(0, 2**32), st.integers(0, 5))
def test_generator_state(seed: int, draws: int) -> None:
    """A generator given the state, through JSON, draws what the first one would draw next."""
    generator, resumed = numpy.random.default_rng(seed), numpy.random.default_rng()
    generator.random(draws)
    generator.integers(5, dtype=numpy.uint32)  # leaves half of a 64-bit draw behind
    resumed.bit_generator.state = json.loads(json.dumps(generator_state(generator)))
    assert resumed.integers(2**31, size=7, dtype=numpy.uint32).tolist() == (
        generator.integers(2**31, size=7, dtype=numpy.uint32).tolist()
    )


def test_check_state() -> None:
    """Only the fields that differ or are missing are named, each with both values."""
    state = {"strategy": "evolution", "children": 8, "more": 1}
    check_state(state, {"strategy": "evolution", "children": 8})
    with pytest.raises(ValueError) as raised:
        check_state(state, {"strategy": "evolution", "children": 4, "tournament": 2})
    message = str(raised.value)
    assert "children is 8, now 4; tournament is None, now 2; continue" in message and "strategy" not in message
