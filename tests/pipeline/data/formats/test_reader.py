"""pipeline/data/formats/reader.py: bad lines are counted, shown and written."""

import dataclasses
import json
from pathlib import Path

import pytest

from pipeline.data.formats.reader import BadLine, check_bad_lines, write_quarantine

BAD_LINES = [BadLine("day_0.tsv", line, "the line is blank", "é" * line) for line in range(1, 8)]


def test_check_bad_lines() -> None:
    """As many as are allowed pass; one more is an error that shows the first five."""
    check_bad_lines([], 0)
    check_bad_lines(BAD_LINES, 7)
    with pytest.raises(ValueError, match=r"day_0.tsv: at least 7 lines .* more than data.max_bad_rows = 6") as raised:
        check_bad_lines(BAD_LINES, 6)
    shown = str(raised.value).splitlines()[1:]
    assert shown == [f"  day_0.tsv:{line}: the line is blank: {'é' * line!r}" for line in range(1, 6)]


def test_write_quarantine(tmp_path: Path) -> None:
    """One JSON object per line, in order, from which the bad line can be made again; a second writing replaces it."""
    for bad_lines in (BAD_LINES, BAD_LINES[:2], []):
        write_quarantine(tmp_path / "quarantine.jsonl", bad_lines)
        found = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
        assert found == [dataclasses.asdict(bad_line) for bad_line in bad_lines]
