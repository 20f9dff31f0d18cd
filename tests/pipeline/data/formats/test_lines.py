"""pipeline/data/formats/lines.py:
good rows and malformed lines told apart, whatever they are and wherever they stand."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.formats import lines
from pipeline.data.formats.lines import MAX_LINE_BYTES, BadLine, read_blocks
from pipeline.data.formats.text_log import TextLog
from pipeline.data.schema import Schema

CRITEO = Schema.load("criteo")
SMALL = Schema("log", "y", ("n",), ("a",), (100,), columns=("y", "n", "a"))
GOOD = b"\t".join([b"1", *[b"-3", b""] * 6, b"7", *[b"68fd1e64"] * 26])


def good_line(number: int) -> bytes:
    """A row that carries its number."""
    return b"\t".join([b"%d" % (number % 2), b"%d" % number, *[b""] * 12, *[b"%08x" % (number * 7919)] * 26])


def changed(number: int, place: int, value: bytes) -> bytes:
    """A row with one field replaced."""
    fields = good_line(number).split(b"\t")
    fields[place] = value
    return b"\t".join(fields)


MALFORMED = {
    "too few columns": (lambda n: b"\t".join(good_line(n).split(b"\t")[:39]), "found 39 columns, expected 40"),
    "too many columns": (lambda n: good_line(n) + b"\tx", "found 41 columns, expected 40"),
    "a word as integer": (lambda n: changed(n, 5, b"five"), "column 'int_4': found 'five'"),
    "a fraction": (lambda n: changed(n, 1, b"1.5"), "column 'int_0': found '1.5'"),
    "an integer of 80 bits": (lambda n: changed(n, 13, b"9" * 24), "column 'int_12': found '9"),
    "label 2": (lambda n: changed(n, 0, b"2"), "column 'label': found '2', expected 0 or 1"),
    "no label": (lambda n: changed(n, 0, b""), "column 'label': found '', expected 0 or 1"),
    "a word as label": (lambda n: changed(n, 0, b"yes"), "column 'label': found 'yes'"),
    "invalid UTF-8": (lambda n: changed(n, 30, b"\xff\xfeab"), "not UTF-8 text at byte"),
    "a NUL byte": (lambda n: changed(n, 20, b"ab\0cd"), "a NUL byte at byte"),
    "a 1 MB line": (lambda n: changed(n, 39, b"f" * 2**20), f"the line has more than {MAX_LINE_BYTES} bytes"),
    "CR LF": (lambda n: good_line(n) + b"\r", "a carriage return at byte"),
    "a lone CR": (lambda n: changed(n, 25, b"ab\rcd"), "a carriage return at byte"),
    "a blank line": (lambda n: b"", "the line is blank"),
}


def read(path: Path, schema: Schema = CRITEO) -> tuple[pa.Table, list[BadLine]]:
    """The whole file."""
    blocks = list(read_blocks(str(path), schema))
    return pa.Table.from_batches([block.rows for block in blocks]), [bad for block in blocks for bad in block.bad]


@pytest.mark.parametrize("block_bytes", [lines.BLOCK_BYTES, 100_000])
def test_a_thousand_malformed_lines(tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every kind, at random places: each is set aside with its true number and reason; all good rows are kept."""
    monkeypatch.setattr(lines, "BLOCK_BYTES", block_bytes)
    generator = np.random.Generator(np.random.PCG64(0))
    total, kinds = 20_000, list(MALFORMED)
    places = np.sort(generator.choice(np.arange(1, total), 1000, replace=False))  # the first line sets the line ends
    rare = {"a 1 MB line": 5}  # 1,000 of them would be a gigabyte
    kind_of = {int(place): kinds[index % len(kinds)] for index, place in enumerate(places)}
    for kind, most in rare.items():
        for place in [place for place, found in kind_of.items() if found == kind][most:]:
            kind_of[place] = "too few columns"
    contents = [MALFORMED[kind_of[n]][0](n) if n in kind_of else good_line(n) for n in range(total)]
    path = tmp_path / "day_0.gz"
    path.write_bytes(gzip.compress(b"\n".join(contents) + b"\n", 1))
    rows, bad = read(path)
    assert [each.line for each in bad] == [place + 1 for place in sorted(kind_of)]
    for each in bad:
        assert each.reason.startswith(MALFORMED[kind_of[each.line - 1]][1]), each
    assert rows["int_0"].to_pylist() == [n for n in range(total) if n not in kind_of]
    assert rows["cat_25"].to_pylist() == [f"{n * 7919:08x}" for n in range(total) if n not in kind_of]


fields = st.sampled_from(
    [
        b"",
        b"0",
        b"1",
        b" 1",
        b"0x1f",
        b"+1",
        b"-5",
        b"2",
        b"9" * 18,
        b"9" * 20,
        b"x",
        b'"',
        b"\xc3\xa9",
        b"\xff",
        b"\0",
        b"\r",
    ]
)


@given(st.lists(st.lists(fields, min_size=1, max_size=4), min_size=1, max_size=6), st.sampled_from(["\t", ","]))
def test_a_line_is_judged_alone(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[bytes]], delimiter: str
) -> None:
    """Whether a line is good, and what it says, does not depend on the lines beside it."""
    schema = Schema("log", "y", ("n",), ("a",), (100,), columns=("y", "n", "a"), delimiter=delimiter)
    contents = [b"1" + delimiter.encode() + b"1" + delimiter.encode() + b"a"]
    contents += [delimiter.encode().join(row) for row in rows]
    path = tmp_path_factory.mktemp("lines") / "log"
    path.write_bytes(b"\n".join(contents) + b"\n")
    table, bad = read(path, schema)
    alone_rows, alone_bad = [], []
    for number, line in enumerate(contents[1:], start=2):
        path.write_bytes(contents[0] + b"\n" + line + b"\n")
        one, found = read(path, schema)
        alone_rows += one.slice(1).to_pylist()
        alone_bad += [BadLine(number, each.reason, each.text) for each in found]
    assert bad == alone_bad
    assert table.slice(1).to_pylist() == alone_rows


@pytest.mark.parametrize("suffix", [b"", b"\n"])
def test_windows_files(tmp_path: Path, suffix: bytes) -> None:
    """Where the first line ends in CR LF the line ends are Windows' throughout, and no value keeps a CR."""
    path = tmp_path / "log"
    path.write_bytes(b"1\t2\ta\r\n0\t3\tb\r\n1\t4\tc" + (b"\r\n" if suffix else b""))
    rows, bad = read(path, SMALL)
    assert rows.to_pylist() == [{"y": 1, "n": 2, "a": "a"}, {"y": 0, "n": 3, "a": "b"}, {"y": 1, "n": 4, "a": "c"}]
    assert not bad


def test_endless_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of many blocks is one bad line; what follows it keeps its number."""
    monkeypatch.setattr(lines, "BLOCK_BYTES", 1000)
    path = tmp_path / "log"
    path.write_bytes(b"1\t1\ta\n" + b"x" * 12_345 + b"\n0\t2\tb\n" + b"y" * 5000)
    rows, bad = read(path, SMALL)
    assert rows["n"].to_pylist() == [1, 2]
    assert [(each.line, len(each.text)) for each in bad] == [(2, 200), (4, 200)]


def test_headers_count(tmp_path: Path) -> None:
    """Line numbers count the header; columns come by name, in any order."""
    path = tmp_path / "log.csv"
    path.write_text("a,skip,y,n\nx,1,1,5\nx,1,1\n'é',2,0,\n", encoding="utf-8")
    schema = Schema("log", "y", ("n",), ("a",), (100,), delimiter=",")
    rows, bad = read(path, schema)
    assert rows.to_pylist() == [{"y": 1, "n": 5, "a": "x"}, {"y": 0, "n": None, "a": "'é'"}]
    assert [(each.line, each.reason) for each in bad] == [(3, "found 3 columns, expected 4")]


@pytest.mark.parametrize("block_bytes", [300, 5000, 1 << 20])
def test_the_same_rows_as_the_stream(tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file without bad lines: the columns that a stream of raw text reads, whatever the block size."""
    monkeypatch.setattr(lines, "BLOCK_BYTES", block_bytes)
    path = tmp_path / "log"
    path.write_bytes(b"".join(good_line(n) + b"\n" for n in range(500)))
    rows, bad = read(path)
    assert not bad
    assert rows.equals(TextLog([str(path)], CRITEO, tmp_path / "counts").columns(0, list(CRITEO.inputs)))


@pytest.mark.parametrize(
    "name, contents, message",
    [
        ("log", b"", "the file is empty"),
        ("log.gz", gzip.compress(GOOD * 999)[:-200], "the gzip data are truncated or damaged"),
        ("log.zst", b"\x28\xb5\x2f\xfd\x24", "the zstd data are truncated or damaged"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, contents: bytes, message: str) -> None:
    """Empty and truncated files are errors that name the file."""
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(ValueError, match=f"{name}: {message}"):
        read(tmp_path / name)
