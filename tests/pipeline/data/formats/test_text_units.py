"""pipeline/data/formats/text_units.py:
units end where lines end, whatever the pieces that are read, and are counted once."""

import gzip
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.formats import text_units
from pipeline.data.formats.text_files import inspect_file
from pipeline.data.schema import Schema

SCHEMA = Schema("log", "y", ("n",), ("word",), (50,), columns=("y", "n", "word"))


def units_by_hand(contents: bytes, unit_bytes: int) -> list[tuple[int, int]]:
    """Line by line: a unit ends with the first line that ends so many bytes behind its start."""
    units, start, place, rows = [], 0, 0, 0
    for line in contents.splitlines(keepends=True):
        place, rows = place + len(line), rows + 1
        if place - start >= unit_bytes and line.endswith(b"\n"):
            units.append((place, rows))
            start, rows = place, 0
    return [*units, (place, rows)] if rows else units


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.booleans(),
    st.integers(1, 200),
    st.integers(1, 100),
    st.sampled_from(["log.tsv", "log.tsv.gz"]),
)
def test_units_end_with_lines(lengths: list[int], ended: bool, unit_bytes: int, piece: int, name: str) -> None:
    """Any lines, units and pieces: the places and rows that counting line by line gives."""
    contents = b"\n".join(b"x" * length for length in lengths) + (b"\n" if ended else b"x")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(text_units, "UNIT_BYTES", unit_bytes)
        monkeypatch.setattr(text_units, "_COUNTED_BYTES", piece)
        path = Path(folder) / name
        path.write_bytes(gzip.compress(contents) if name.endswith("gz") else contents)
        blocks = text_units.find_blocks(inspect_file(str(path), SCHEMA), Path(folder))
    assert [(block.stop, block.lines) for block in blocks] == units_by_hand(contents, unit_bytes)
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks[:-1])]
    assert [block.first_line for block in blocks] == np.cumsum([1, *(block.lines for block in blocks)])[:-1].tolist()


def test_counts_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are counted once, and again when the file has changed."""
    path = tmp_path / "log.tsv"
    path.write_text("1\t2\tw\n" * 50)
    counted: list[str] = []
    original = text_units._count_lines

    def noting(file: text_units.TextFile) -> list[text_units.Block]:
        counted.append(file.path)
        return original(file)

    monkeypatch.setattr(text_units, "_count_lines", noting)
    for _ in range(2):
        assert text_units.find_blocks(inspect_file(str(path), SCHEMA), tmp_path) == [(0, 300, 1, 50)]
    path.write_text("1\t2\tw\n" * 60)
    os.utime(path, ns=(1, 1))
    assert text_units.find_blocks(inspect_file(str(path), SCHEMA), tmp_path) == [(0, 360, 1, 60)]
    assert len(counted) == 2


def test_a_header_is_no_row(tmp_path: Path) -> None:
    """The first line of files with a header is not counted, and a header alone holds no rows."""
    path = tmp_path / "log.csv"
    headed = Schema("log", "y", ("n",), ("word",), (50,), delimiter=",")
    path.write_text("y,n,word\n1,2,w\n0,3,w")
    assert text_units.find_blocks(inspect_file(str(path), headed), tmp_path) == [(9, 20, 2, 2)]
    path.write_text("y,n,word\n")
    with pytest.raises(ValueError, match=r"log.csv: holds no rows"):
        text_units.find_blocks(inspect_file(str(path), headed), tmp_path)
