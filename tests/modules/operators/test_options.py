"""Options of operators: choices, variants, JSON."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from modules.operators import FullyConnected
from modules.operators.operator import Options
from modules.space import OPEN

WITH_OPTIONS = [own for own in (*OPEN.dense_operators, *OPEN.sparse_operators) if own.options]


@dataclass(frozen=True)
class Optional(FullyConnected):
    """FC with options."""

    rank: int = 0
    gate: bool = True
    options: ClassVar[Options] = {"rank": (0, 4, 8), "gate": (False, True)}


def test_variants_differ_from_the_widest_in_one_option():
    """The last choices, then each other choice alone."""
    assert Optional().widest() == Optional(8, True)
    assert set(Optional().variants()) == {Optional(8, True), Optional(0, True), Optional(4, True), Optional(8, False)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 5}, r"fc, rank: 5 is no choice; it has \[0, 4, 8\]"),
        ({"rank": False}, "fc, rank: False is no choice"),
        ({"gate": 1}, "fc, gate: 1 is no choice"),
        ({"depth": 1}, r"fc has no option 'depth'; it has \['rank', 'gate'\]"),
    ],
)
def test_what_is_no_choice_is_named(values, message):
    """Also a value that only equals a choice, as False equals 0."""
    with pytest.raises(ValueError, match=message):
        Optional().with_options(values)


def test_json_is_the_name_and_what_differs():
    """A plain name where all options are the defaults."""
    assert Optional().to_json() == FullyConnected().to_json() == "fc"
    assert Optional(4).to_json() == {"name": "fc", "rank": 4}


def test_variants_of():
    """Equal but for options that are choices."""
    assert Optional(4).is_variant_of(Optional())
    assert not Optional(5).is_variant_of(Optional()) and not FullyConnected().is_variant_of(Optional())


@pytest.mark.parametrize("operator", WITH_OPTIONS, ids=lambda operator: operator.name)
def test_options_of_the_open_space(operator):
    """Defaults are choices, each choice stands once and makes an operator, and canonical forms keep the canonical."""
    for name, choices in operator.options.items():
        assert len(set(choices)) == len(choices) > 1 and getattr(operator, name) in choices
        for choice in choices:
            own = operator.with_options({name: choice})
            assert getattr(own, name) == choice and own.canonical().canonical() == own.canonical()
            assert operator.with_options({key: v for key, v in _values(own).items() if key != "name"}) == own


def _values(operator):
    data = operator.to_json()
    return data if isinstance(data, dict) else {}
