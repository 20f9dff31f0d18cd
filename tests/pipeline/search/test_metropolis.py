"""pipeline/search/metropolis.py: the rule of acceptance, and walks that leave local optima."""

import math

import numpy
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pipeline.search.metropolis import is_accepted

ENERGIES = numpy.array([0.0, 1.0, 0.3, 2.0, 0.1])
"""Of states in a ring: from state 2 one has to climb to get anywhere."""


@given(first=st.floats(-3, 3), second=st.floats(-3, 3), temperature=st.floats(0.05, 5), seed=st.integers(0, 2**32))
def test_better_is_always_accepted(first: float, second: float, temperature: float, seed: int) -> None:
    """And of two states one is accepted for certain from the other; at temperature 0 nothing worse ever is."""
    generator = numpy.random.default_rng(seed)
    assert is_accepted(max(first, second), min(first, second), temperature, generator)
    assert is_accepted(first, second, 0.0, generator) == (second <= first)


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_detailed_balance(temperature: float) -> None:
    """Between any two states as many moves go one way as the other, where states are visited by e^(−energy / T): the
    frequencies of acceptance, counted, fulfil it within their chance (p above .001 each)."""
    generator, draws = numpy.random.default_rng(0), 20_000
    for first in ENERGIES:
        for second in ENERGIES[first < ENERGIES]:
            accepted = sum(is_accepted(first, second, temperature, generator) for _ in range(draws))
            balanced = math.exp(-second / temperature) / math.exp(-first / temperature)  # the other way: always
            assert scipy.stats.binomtest(accepted, draws, balanced).pvalue > 0.001


def test_a_long_chain_visits_states_by_their_energy() -> None:
    """Steps to either neighbour in a ring, temperature .5: every twentieth state is distributed as e^(−energy / T)."""
    generator, at = numpy.random.default_rng(1), 2
    visits = numpy.zeros(len(ENERGIES))
    for step in range(60_000):
        moved = (at + (1 if generator.random() < 0.5 else -1)) % len(ENERGIES)
        if is_accepted(ENERGIES[at], ENERGIES[moved], 0.5, generator):
            at = moved
        visits[at] += step % 20 == 0
    expected = numpy.exp(-ENERGIES / 0.5)
    assert scipy.stats.chisquare(visits, visits.sum() * expected / expected.sum()).pvalue > 0.001
