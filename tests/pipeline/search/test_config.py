"""Sizes of a search."""

from typing import Any

import pytest
import tyro

from pipeline.search.config import SearchConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strategy": "annealing"}, "choose evolution or random"),
        ({"initial_population": 0}, "initial_population is 0"),
        ({"generations": -1}, "generations is -1"),
        ({"tournament": 33}, "tournament is 33; it must be between 1 and initial_population, 32"),
        ({"children": 0}, "children is 0"),
    ],
)
def test_impossible_sizes(fields: dict[str, Any], message: str) -> None:
    """Each is a ValueError naming the field, the value and the range."""
    with pytest.raises(ValueError, match=message):
        SearchConfig(**fields)


def test_command_line() -> None:
    """tyro makes a command line of it, and the published search has 128 + 240 · 8 candidates."""
    sizes = {"--initial-population": 128, "--generations": 240, "--tournament": 64, "--children": 8}
    arguments = [text for name, value in sizes.items() for text in (name, str(value))]
    config = tyro.cli(SearchConfig, args=["--strategy", "random", *arguments])
    assert config == SearchConfig("random", 128, 240, 64, 8)
    assert config.candidates == 2048
