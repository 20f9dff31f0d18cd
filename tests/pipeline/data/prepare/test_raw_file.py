"""pipeline/data/prepare/raw_file.py: one file prepared; what is written does not depend on how it was read."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.data.formats import text_lines as lines
from pipeline.data.formats.prepared import file_name, read_prepared
from pipeline.data.prepare import raw_file
from pipeline.data.prepare.raw_file import FileTask
from pipeline.data.schema import Schema

KDD = Schema.load("kdd2012")


def task(folder: Path, source: Path, schema: Schema, **changes: object) -> FileTask:
    """Of a test."""
    for name in ("counts", "parts", "quarantine"):
        (folder / "work" / name).mkdir(parents=True, exist_ok=True)
    settings = {"source": str(source), "name": source.stem, "folder": folder, "schema": schema}
    return FileTask(**{**settings, "vocabulary": False, "max_bad_rows": 0.01, **changes})  # type: ignore[arg-type]


def kdd_log(path: Path, rows: int) -> list[list[int]]:
    """A log of KDD Cup 2012's columns: clicks, impressions, ids."""
    generator = np.random.Generator(np.random.PCG64(0))
    values = [[int(generator.poisson(0.3)), 5, *generator.integers(0, 10**7, 10).tolist()] for _ in range(rows)]
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in values))
    return values


def test_kdd2012_by_hand(tmp_path: Path) -> None:
    """Clicks become labels, ids go into their tables by modulo, the columns that are no inputs are left out."""
    values = kdd_log(tmp_path / "training.txt", 500)
    prepared = task(tmp_path / "out", tmp_path / "training.txt", KDD)
    raw_file.prepare_file(prepared)
    table = pq.read_table(prepared.target(0))
    assert table.column_names == list(KDD.inputs)
    places = {name: place for place, name in enumerate(KDD.columns)}
    assert table["click"].to_pylist() == [min(row[places["click"]], 1) for row in values]
    for name, size in zip(KDD.categories, KDD.table_sizes, strict=True):
        assert table[name].to_pylist() == [1 + row[places[name]] % (size - 1) for row in values]
    found = read_prepared(pq.ParquetFile(prepared.target(0)).metadata, "file")
    assert found is not None
    assert (found.schema, found.details) == (KDD, {"numbering": "hash"})
    part = json.loads(prepared.part.read_text())
    assert (part["rows"], part["clicks"]) == (500, sum(row[places["click"]] > 0 for row in values))


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the block size, and wherever bad lines fall, the files are the same to the byte: whole row groups, no
    more rows each than FILE_ROWS, all rows in their order, and the part says so."""
    values = kdd_log(tmp_path / "training.txt", 4500)
    with open(tmp_path / "training.txt", "ab") as handle:
        handle.write(b"no row\n")
    monkeypatch.setattr(raw_file, "ROW_GROUP_ROWS", 1000)
    monkeypatch.setattr(raw_file, "FILE_ROWS", 2000)
    found = set()
    for block in (2000, 30_000, 1 << 22):
        monkeypatch.setattr(lines, "BLOCK_BYTES", block)
        prepared = task(tmp_path / f"out_{block}", tmp_path / "training.txt", KDD)
        raw_file.prepare_file(prepared)
        files = sorted(prepared.folder.glob("*.parquet"))
        assert files == [prepared.target(number) for number in range(3)]
        found.add(
            (*(file.read_bytes() for file in files), prepared.part.read_bytes(), prepared.quarantine.read_bytes())
        )
    assert len(found) == 1
    opened = [pq.ParquetFile(file).metadata for file in files]
    groups = [[metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] for metadata in opened]
    assert groups == [[1000, 1000], [1000, 1000], [500]]
    part = json.loads(prepared.part.read_text())
    assert [(file["file"], file["rows"]) for file in part["files"]] == [
        (file.name, sum(of_file)) for file, of_file in zip(files, groups, strict=True)
    ]
    place = KDD.columns.index("click")
    clicks = [click for file in files for click in pq.read_table(file)["click"].to_pylist()]
    assert clicks == [min(row[place], 1) for row in values]


def test_a_bad_end_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file turns out bad after some of its rows were written, they do not stay."""
    kdd_log(tmp_path / "training.txt", 3000)
    with open(tmp_path / "training.txt", "ab") as handle:
        handle.write(b"no row\n" * 100)
    monkeypatch.setattr(raw_file, "ROW_GROUP_ROWS", 500)
    monkeypatch.setattr(raw_file, "FILE_ROWS", 1000)
    monkeypatch.setattr(lines, "BLOCK_BYTES", 2000)
    prepared = task(tmp_path / "out", tmp_path / "training.txt", KDD, max_bad_rows=0.01)
    with pytest.raises(ValueError, match=r"training.txt: .*more than max_bad_rows = 0.01"):
        raw_file.prepare_file(prepared)
    assert [path.name for path in prepared.folder.iterdir()] == ["work"] and not prepared.part.exists()


def test_no_rows_at_all(tmp_path: Path) -> None:
    """A file without a single good row is an error, and leaves nothing."""
    (tmp_path / "log.csv").write_text("y,n,a\n")
    schema = Schema("log", "y", ("n",), ("a",), (9,), delimiter=",")
    prepared = task(tmp_path / "out", tmp_path / "log.csv", schema, max_bad_rows=1)
    with pytest.raises(ValueError, match=r"log.csv: holds no rows"):
        raw_file.prepare_file(prepared)
    assert not list((tmp_path / "out").glob("*.parquet")) and not prepared.part.exists()


def test_leftovers_are_removed(tmp_path: Path) -> None:
    """What a killed writer left beside its file goes before the file is written again."""
    kdd_log(tmp_path / "training.txt", 10)
    prepared = task(tmp_path / "out", tmp_path / "training.txt", KDD)
    prepared.target(3).with_name("training-00003.parquet.tmp-123").write_text("half a file")
    raw_file.prepare_file(prepared)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["training-00000.parquet", "work"]


def test_names_of_columns_are_names_of_files() -> None:
    """Any column name gives a plain file name of its own."""
    names = ["cat_0", "a/b", "..", "a b", "a%2Fb", "x.y"]
    assert len({file_name(name) for name in names}) == len(names)
    assert not [name for name in map(file_name, names) if "/" in name or "." in name]
