"""pipeline/data/formats/all_formats.py: the format of a file goes by its name, and a click log has one."""

from pathlib import Path

import pytest

from pipeline.data.formats import all_formats
from pipeline.data.formats.all_formats import FORMATS, find_files, format_of
from pipeline.data.formats.parquet import PARQUET
from pipeline.data.formats.reader import Format
from pipeline.data.formats.text import TEXT


@pytest.mark.parametrize(
    "name, expected",
    [
        *[(name, PARQUET) for name in ("a.parquet", "s3://logs/a.pq", "day_3-00001.parquet")],
        *[(name, TEXT) for name in ("a.tsv", "a.CSV.gz", "day_3", "day_3.gz", "a.txt.zst", "a.log")],
        *[(name, TEXT) for name in ("a.parquet.gz", "a.dat", "a.bz2")],
    ],
)
def test_format_by_name(name: str, expected: Format) -> None:
    """A file's last suffixes decide; a file that was named, but that no format recognizes, is text."""
    assert format_of(name) is expected


def test_formats_exclude_one_another() -> None:
    """No name is recognized by two formats, so that their order does not matter."""
    names = ("a.parquet", "a.pq", "a.tsv", "a.csv.gz", "day_0", "x.parquet.zst", "x.json", "x.tsv.parquet")
    assert all(sum(each.recognizes(name) for each in FORMATS) <= 1 for name in names)


def test_one_kind(tmp_path: Path) -> None:
    """Files of two formats are refused."""
    for name in ("a.parquet", "b.tsv"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match="holds both Parquet and text files"):
        find_files(str(tmp_path))


def test_a_new_format_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that is added to the list is found in folders and chosen for its files."""
    for name in ("a.orc", "notes.md"):
        (tmp_path / name).write_bytes(b"x")
    orc = Format("ORC", lambda path: path.endswith(".orc"), PARQUET.own_schema, PARQUET.infer_schema, PARQUET.open)
    with pytest.raises(ValueError, match="without click logs"):
        find_files(str(tmp_path))
    monkeypatch.setattr(all_formats, "FORMATS", (orc, *FORMATS))
    assert find_files(str(tmp_path)) == ([str(tmp_path / "a.orc")], orc)
