"""pipeline/data/formats/text.py:
raw text streams every row once, from any place, whatever the blocks, files and ranks."""

import dataclasses
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.formats import text_units
from pipeline.data.formats.features import category_rows, decode
from pipeline.data.formats.text import TextReader
from pipeline.data.formats.text_lines import MAX_LINE_BYTES
from pipeline.data.schema import Schema
from pipeline.data.splits import Split
from pipeline.data.stream.batch_stream import Stream

SCHEMA = Schema(
    "log", "y", ("n",), ("row", "word"), (2**31 - 1, 50), integer_ids=("row",), columns=("y", "n", "row", "word")
)
HEADED = dataclasses.replace(SCHEMA, columns=(), delimiter=",")


def write(path: Path, first: int, rows: int, end: str = "\n", last: str = "\n") -> str:
    """Rows numbered from `first`; the suffix says how they are packed."""
    comma = ".csv" in path.suffixes
    lines = [f"{row % 2}\t{row % 7}\t{row}\t{'w' * (row % 5)}" for row in range(first, first + rows)]
    text = end.join(["y\tn\trow\tword", *lines] if comma else lines) + last
    contents = (text.replace("\t", ",") if comma else text).encode()
    match path.suffix:
        case ".gz":
            contents = gzip.compress(contents[: len(contents) // 2]) + gzip.compress(contents[len(contents) // 2 :])
        case ".zst":
            contents = zstandard.ZstdCompressor().compress(contents)
    path.write_bytes(contents)
    return str(path)


def small_units(monkeypatch: pytest.MonkeyPatch, unit: int = 300, read: int = 64, parsed: int = 100) -> None:
    """Units of a few rows, read and parsed in pieces smaller than they."""
    monkeypatch.setattr(text_units, "UNIT_BYTES", unit)
    monkeypatch.setattr(text_units, "_READ_BYTES", read)
    monkeypatch.setattr(text_units, "PARSED_BYTES", parsed)
    monkeypatch.setattr(text_units, "_LINE_BYTES", 5)


@pytest.mark.parametrize("name", ["log.tsv", "log.tsv.gz", "log.tsv.zst", "log.csv", "log.csv.gz"])
@pytest.mark.parametrize("end, last", [("\n", "\n"), ("\n", ""), ("\r\n", "\r\n")])
def test_units_are_the_file(tmp_path: Path, name: str, end: str, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The units one behind the other decode to what the whole file does, read in any order, by columns too."""
    small_units(monkeypatch)
    schema = HEADED if ".csv" in name else SCHEMA
    path = write(tmp_path / name, 0, 200, end, last)
    log = TextReader([path], schema, tmp_path / "counts")
    numbers = range(200)
    columns = {"y": [n % 2 for n in numbers], "n": [n % 7 for n in numbers], "row": list(numbers)}
    whole = decode(pa.RecordBatch.from_pydict({**columns, "word": ["w" * (n % 5) or None for n in numbers]}), schema)
    assert len(log.units) > 5
    assert [unit.first_row for unit in log.units] == np.cumsum([0, *(unit.rows for unit in log.units)])[:-1].tolist()
    for number in [*range(len(log.units)), *reversed(range(len(log.units))), 3, 1, 4]:
        unit = log.units[number]
        rows = log.read(number, None)
        stop = unit.first_row + unit.rows
        assert (rows.ids == whole.ids[:, unit.first_row : stop]).all()
        assert (rows.dense == whole.dense[:, unit.first_row : stop]).all()
        assert (rows.label == whole.label[unit.first_row : stop]).all()
        order = np.arange(unit.rows)[::-1]
        assert (log.read(number, order).ids == rows.ids[:, order]).all()
        assert log.columns(number, ["row"])["row"].to_pylist() == list(range(unit.first_row, stop))


RUNS = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 9), st.floats(0, 1)), min_size=1, max_size=3)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=3),
    st.integers(10, 400),
    st.sampled_from([".tsv", ".tsv.gz"]),
    RUNS,
    st.none() | st.integers(0, 99),
)
def test_every_row_once_across_restarts(
    file_rows: list[int], unit_bytes: int, suffix: str, runs: list[tuple[int, int, float]], seed: int | None
) -> None:
    """Any files, blocks, ranks 1-8, batch sizes and stops: one epoch of raw text delivers every row exactly once."""
    total, seen, state = sum(file_rows), [], None
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as monkeypatch:
        small_units(monkeypatch, unit_bytes)
        folder, firsts = Path(name), np.cumsum([0, *file_rows])
        files = [write(folder / f"{i}{suffix}", firsts[i], rows) for i, rows in enumerate(file_rows)]
        log = TextReader(files, SCHEMA, folder / "counts")
        for index, (world, batch, share) in enumerate(runs):
            world = min(world, total)
            streams = [Stream(Split("train", log), batch, rank, world, shuffle_seed=seed) for rank in range(world)]
            for stream in streams:
                if state:
                    stream.load_state_dict(json.loads(json.dumps(state)))
            left = len(streams[0]) - streams[0].batches
            for _ in range(left if index == len(runs) - 1 else int(share * left)):
                seen += [row for stream in streams for row in (next(stream).ids[:, 0] - 1).tolist()]
            state = streams[0].state_dict()
            for stream in streams:
                stream.close()
    assert sorted(seen) == list(range(total))
    if seed is None and len(runs) == 1 and runs[0][0] == 1:
        assert seen == list(range(total))


WORDS = st.none() | st.text("0123456789abcdef ", min_size=8, max_size=8)
OTHERS = st.none() | st.text("ab é", max_size=12).filter(lambda text: text.strip() == text)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=60), st.lists(OTHERS, max_size=20), st.integers(1, 400))
def test_texts_of_eight_bytes_are_texts(words: list[str | None], others: list[str | None], parsed: int) -> None:
    """Texts of 8 bytes each, as Criteo's, are parsed another way to the rows that texts have, until one is not so."""
    texts = [*words, *others]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as monkeypatch:
        small_units(monkeypatch, parsed=parsed)
        path = Path(name) / "log.tsv"
        path.write_text("".join(f"1\t2\t3\t{text or ''}\n" for text in texts), encoding="utf-8")
        log = TextReader([str(path)], SCHEMA, Path(name) / "counts")
        rows = np.concatenate([log.read(unit, None).ids[1] for unit in range(len(log.units))])
    assert rows.tolist() == category_rows(pa.array(texts, pa.string()), SCHEMA.table_sizes[1]).tolist()


def test_compressed_text_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However threads compete, an epoch decompresses each file once: no cursor starts again."""
    small_units(monkeypatch)
    log = TextReader([write(tmp_path / f"{i}.tsv.gz", 400 * i, 400) for i in range(3)], SCHEMA, tmp_path / "counts")
    opened: list[str] = []
    original = text_units.decompressed

    def noting(path: str) -> Any:
        opened.append(path)
        return original(path)

    monkeypatch.setattr(text_units, "decompressed", noting)
    with Stream(Split("train", log), 16, shuffle_seed=3, ahead_bytes=10_000, threads=2) as stream:
        assert sum(batch.num_rows for batch in stream) == 1200
    assert sorted(opened) == sorted({unit.path for unit in log.units})


@pytest.mark.slow
def test_shuffled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and the rows within blocks are shuffled by the seed; a plain file's blocks too."""
    small_units(monkeypatch, unit=2000)
    orders: dict[tuple[str, int], list[int]] = {}
    for suffix in (".tsv", ".tsv.gz"):
        folder = tmp_path / suffix
        folder.mkdir()
        log = TextReader([write(folder / f"{i}{suffix}", 500 * i, 500) for i in range(3)], SCHEMA, tmp_path / "counts")
        for seed in (1, 1, 2):
            with Stream(Split("train", log), 100, shuffle_seed=seed) as stream:
                order = [row - 1 for batch in stream for row in batch.ids[:, 0].tolist()]
            assert sorted(order) == list(range(1500)) != order
            assert orders.setdefault((suffix, seed), order) == order
    assert len({tuple(order) for order in orders.values()}) == 4


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz", ".tsv.zst"])
def test_cut_or_empty(tmp_path: Path, suffix: str) -> None:
    """A compressed file cut anywhere is found by counting; so is a file of zero length."""
    path = Path(write(tmp_path / f"log{suffix}", 0, 3000))
    contents = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"log{suffix}: .*empty"):
        TextReader([str(path)], SCHEMA, tmp_path / "counts")
    for keep in (0.3, 0.7, 0.99) if suffix != ".tsv" else ():
        path.write_bytes(contents[: int(keep * len(contents))])
        with pytest.raises(ValueError, match=rf"log{suffix}: .*(truncated|empty).*again"):
            TextReader([str(path)], SCHEMA, tmp_path / "counts")


@pytest.mark.parametrize(
    "line, message",
    [
        ("0\t1\t2", "found 3 columns, expected 4"),
        ("0\t1\t2\tw\tx", "found 5 columns"),
        ("", "the line is blank"),
        ("0\tx\t2\tw", "column 'n': found 'x'"),
        ("7\t1\t2\tw", "column 'y': found .*7"),
        ("0\t1\t2\tw\udcff", "not UTF-8"),
    ],
)
@pytest.mark.parametrize("place", [0, 60, 99])
def test_bad_line(tmp_path: Path, line: str, message: str, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad line anywhere ends the stream with file, line number and what is wrong."""
    small_units(monkeypatch)
    lines = [f"0\t1\t{row}\tw" for row in range(100)]
    lines[place] = line
    path = tmp_path / "log.tsv.gz"
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")))
    log = TextReader([str(path)], SCHEMA, tmp_path / "counts")
    with pytest.raises(ValueError, match=rf"log.tsv.gz:{place + 1}: {message}"):
        list(Stream(Split("train", log), 10))


def test_line_that_is_too_long(tmp_path: Path) -> None:
    """The longest line that is a row, one that has one byte more, and one of many megabytes, read only in part."""
    path = tmp_path / "log.tsv"
    longest = "1\t1\t2\t" + "w" * (MAX_LINE_BYTES - 6)
    path.write_text(f"0\t1\t2\tw\n{longest}\n{longest}w\n")
    reader = TextReader([str(path)], SCHEMA, tmp_path / "counts")
    with pytest.raises(ValueError, match=r"log.tsv:3: the line has more than 65536 bytes; repair"):
        reader.read(0, None)
    path.write_text(f"0\t1\t2\tw\n{longest}\n")
    assert TextReader([str(path)], SCHEMA, tmp_path / "counts").read(0, None).label.tolist() == [0, 1]


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz"])
def test_endless_line(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a line far longer than a unit only the beginning is read; the lines behind it keep their numbers."""
    small_units(monkeypatch)
    sizes: list[int] = []
    original = text_units.SCRATCH.array

    def noting(shape: tuple[int, ...], dtype: Any) -> Any:
        sizes.append(shape[0])
        return original(shape, dtype)

    monkeypatch.setattr(text_units.SCRATCH, "array", noting)
    lines = ["0\t1\t0\tw", "x" * 2**21, "0\t1\t1\tw", "0\t1\t2", "0\t1\t3\tw"]
    path = tmp_path / f"log{suffix}"
    contents = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(contents) if suffix.endswith("gz") else contents)
    with pytest.raises(ValueError, match=r"log.*:2: the line has more than 65536 bytes"):
        list(Stream(Split("train", TextReader([str(path)], SCHEMA, tmp_path / "counts")), 10))
    reader = TextReader([str(path)], SCHEMA, tmp_path / "counts", max_bad_rows=2)
    (batch,) = Stream(Split("train", reader), 10)
    assert batch.ids[:, 0].tolist() == [1, 2, 4]
    assert [bad_line.line for bad_line in reader.bad_lines] == [2, 4]
    assert max(sizes) < 300 + MAX_LINE_BYTES + 10


def test_column_beside_the_schemas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that the schema does not name is read whole, though some pieces of it look like whole numbers."""
    small_units(monkeypatch, unit=3000)
    values = [0.0] * 40 + [0.25] * 40 + [1.0] * 40
    path = tmp_path / "log.csv"
    path.write_text("y,n,row,word,p\n" + "".join(f"0,1,2,w,{value:g}\n" for value in values))
    log = TextReader([str(path)], HEADED, tmp_path / "counts")
    assert log.has_column("p") and log.columns(0, ["y", "p"])["p"].to_pylist() == values


def test_files_of_different_columns(tmp_path: Path) -> None:
    """Two files whose headers differ are refused, naming both and the difference."""
    first = write(tmp_path / "a.csv", 0, 5)
    (tmp_path / "b.csv").write_text("y,n,row,word,extra\n0,1,2,x,3\n")
    with pytest.raises(ValueError, match=r"b.csv: .*differ from those of .*a.csv in \['extra'\]"):
        TextReader([first, str(tmp_path / "b.csv")], HEADED, tmp_path / "counts")


def test_file_shrinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file cut after it was counted is an error, never fewer rows."""
    small_units(monkeypatch)
    path = Path(write(tmp_path / "log.tsv", 0, 100))
    log = TextReader([str(path)], SCHEMA, tmp_path / "counts")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"log.tsv: .*shorter"):
        list(Stream(Split("train", log), 10))
