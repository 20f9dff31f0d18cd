"""pipeline/data/config.py: ranges, and no setting that would be ignored."""

import dataclasses
from typing import Any

import pytest
import tyro

from pipeline.data.config import DataConfig


def test_command_line() -> None:
    """tyro makes the command line."""
    config = tyro.cli(DataConfig, args=["--rows", "500", "--seed", "3"])
    assert config == DataConfig(rows=500, seed=3)


@pytest.mark.parametrize(
    "field, value",
    [
        *(("rows", 0), ("days", 0), ("seed", -1), ("max_table_rows", 1)),
        *(("max_bad_rows", -1), ("read_ahead_mb", 0), ("read_threads", 0)),
    ],
)
def test_ranges(field: str, value: int) -> None:
    """Values out of range are named with the range."""
    with pytest.raises(ValueError, match=f"data.{field} is {value}; use"):
        dataclasses.replace(DataConfig(), **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"rows": 1000}, {"days": 3}, {"seed": 9}])
def test_generator_settings_beside_a_path(settings: dict[str, Any]) -> None:
    """The generator's settings are refused where nothing is generated."""
    with pytest.raises(ValueError, match=f"data.{next(iter(settings))} .* is for generated data"):
        DataConfig(path="somewhere", **settings)


def test_bad_rows_without_a_path() -> None:
    """Generated data have no bad lines to set aside."""
    assert DataConfig(path="somewhere", max_bad_rows=3).max_bad_rows == 3
    with pytest.raises(ValueError, match=r"data.max_bad_rows is 3, but it is for raw text"):
        DataConfig(max_bad_rows=3)
