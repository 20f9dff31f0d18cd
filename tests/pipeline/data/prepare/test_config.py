"""pipeline/data/prepare/config.py: ranges, and no setting that would be ignored."""

import dataclasses

import pytest

from pipeline.data.prepare.config import PrepareConfig

GOOD = PrepareConfig(path="raw", schema="criteo", folder="out")


@pytest.mark.parametrize(
    "field, value",
    [
        *(("min_count", 0), ("max_table_rows", 2), ("max_bad_rows", -0.1), ("max_bad_rows", 1.1), ("processes", -1)),
        *(("memory_gb", 0.5), ("replicas", 0), ("replica", 1), ("replica", -1)),
    ],
)
def test_ranges(field: str, value: float) -> None:
    """Values out of range are named."""
    with pytest.raises(ValueError, match=f"{field} is {value}; use"):
        dataclasses.replace(GOOD, **{field: value})  # type: ignore[arg-type]


def test_ignored_settings() -> None:
    """A setting of the other numbering, and a folder that replicas cannot share, are refused."""
    assert dataclasses.replace(GOOD, numbering="vocabulary", min_count=2).min_count == 2
    with pytest.raises(ValueError, match="min_count is 2, which is for --numbering vocabulary"):
        dataclasses.replace(GOOD, min_count=2)
    with pytest.raises(ValueError, match="folder is 's3://logs/out'; give one of a file system"):
        dataclasses.replace(GOOD, folder="s3://logs/out")
