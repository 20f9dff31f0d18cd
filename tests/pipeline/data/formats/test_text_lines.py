"""pipeline/data/formats/text_lines.py:
rows and malformed lines told apart, whatever they are and wherever they stand, in streams as in `prepare`."""

import dataclasses
import gzip
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.formats import text_lines, text_units
from pipeline.data.formats.prepared import arrow_schema
from pipeline.data.formats.reader import BadLine
from pipeline.data.formats.text import TextReader
from pipeline.data.formats.text_lines import MAX_LINE_BYTES, read_blocks
from pipeline.data.formats.times import LOCAL, NUMBER, WHOLE, ZONED, is_time
from pipeline.data.prepare.raw_file import FileTask, prepare_file
from pipeline.data.schema import Schema
from pipeline.data.splits import Split
from pipeline.data.stream.batch_stream import Stream

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


@pytest.mark.parametrize("block_bytes", [text_lines.BLOCK_BYTES, 100_000])
def test_a_thousand_malformed_lines(tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every kind, at random places: each is set aside with its true number and reason; all good rows are kept."""
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", block_bytes)
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
        b"\xef\xbb\xbf1",
        b'"a',
    ]
)


@given(st.lists(st.lists(fields, min_size=1, max_size=4), min_size=1, max_size=6), st.sampled_from(["\t", ","]))
@pytest.mark.slow
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
        alone_bad += [dataclasses.replace(each, line=number) for each in found]
    assert bad == alone_bad
    assert table.slice(1).to_pylist() == alone_rows


TIMES = {
    "numbers": b"1714582989",
    "nanoseconds": b"1714582989123456789",
    "dates": b"2024-05-01",
    "times with a zone": b"2024-05-01T17:03:09Z",
}
TIME_TYPES = dict(zip(TIMES, (NUMBER, WHOLE, LOCAL, ZONED), strict=True))
times = st.sampled_from([*TIMES.values(), b"", b"1.5", b"-3", b"9" * 19, b"1500-01-01 00:00:00", b"x", b"nan", b"1e5"])
times |= st.sampled_from(
    [b"2024-05-01 17:03:09.25", b"2024-05-01T17:03:09+02:00", b"2024-02-30", b"2024-05-01T24:00:00"]
)


@given(st.sampled_from([*TIMES]), st.lists(st.tuples(times, st.sampled_from([b"5", b"x"])), min_size=1, max_size=6))
@pytest.mark.slow
def test_a_time_is_judged_by_the_first(
    tmp_path_factory: pytest.TempPathFactory, kind: str, rows: list[tuple[bytes, bytes]]
) -> None:
    """Lines whose time is not of the measure of the file's first are no rows, whatever stands beside them."""
    schema = Schema("log", "y", ("n",), ("a",), (100,), columns=("y", "n", "a", "when"), timestamp="when")
    first, path = b"1\t1\ta\t" + TIMES[kind], tmp_path_factory.mktemp("lines") / "log"
    contents = [first, *(b"0\t" + number + b"\tb\t" + time for time, number in rows)]
    path.write_bytes(b"\n".join(contents) + b"\n")
    table, bad = read(path, schema)
    wrong = [line for line, (time, number) in enumerate(rows, start=2) if number == b"x"]
    wrong += [line for line, (time, _) in enumerate(rows, start=2) if not is_time(time.decode(), TIME_TYPES[kind])]
    assert [each.line for each in bad] == sorted(set(wrong))
    assert len(table) + len(bad) == len(contents)
    for each in bad:
        time, number = rows[each.line - 2]
        assert each.reason.startswith(
            "column 'n': found 'x'" if number == b"x" else f"column 'when': found {time.decode()!r}"
        )


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
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 1000)
    path = tmp_path / "log"
    path.write_bytes(b"1\t1\ta\n" + b"x" * 3 * MAX_LINE_BYTES + b"\n0\t2\tb\n" + b"y" * 2 * MAX_LINE_BYTES)
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
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", block_bytes)
    path = tmp_path / "log"
    path.write_bytes(b"".join(good_line(n) + b"\n" for n in range(500)))
    rows, bad = read(path)
    assert not bad
    assert rows.equals(TextReader([str(path)], CRITEO, tmp_path / "counts").columns(0, list(CRITEO.inputs)))


def test_open_quotation_marks(tmp_path: Path) -> None:
    """A quotation mark left open is the fault of its own line; in tab-separated text it is a character."""
    path = tmp_path / "log.csv"
    path.write_text('1,1,"a\n0,2,b\n1,3,"\n0,4,"x,y"\n1,5,"')
    comma = dataclasses.replace(SMALL, delimiter=",")
    rows, bad = read(path, comma)
    assert rows.to_pylist() == [{"y": 0, "n": 2, "a": "b"}, {"y": 0, "n": 4, "a": "x,y"}]
    assert [(each.line, each.reason) for each in bad] == [(n, "a quotation mark is not closed") for n in (1, 3, 5)]
    path.write_text('1\t1\t"a\n0\t2\tb"\n')
    rows, bad = read(path, SMALL)
    assert rows["a"].to_pylist() == ['"a', 'b"'] and not bad


@pytest.mark.parametrize("schema", [SMALL, dataclasses.replace(SMALL, columns=())])
def test_byte_order_marks(tmp_path: Path, schema: Schema) -> None:
    """One at the start of the file is no part of the text; at the start of another line it makes the line bad."""
    path = tmp_path / "log"
    header = "" if schema.columns else "y\tn\ta\n"
    path.write_text(f"\ufeff{header}1\t1\ta\n\ufeff1\t2\tb\n0\t3\t\ufeffc\n", encoding="utf-8")
    rows, bad = read(path, schema)
    assert rows["n"].to_pylist() == [1, 3]
    first = 1 if schema.columns else 2
    assert [(each.line, each.reason) for each in bad] == [(first + 1, "a byte order mark at the start of the line")]


NASTY = [
    *(b"", b"\r", b"1,2", b"1,2,a,b", b"2,1,a", b",1,a", b"yes,1,a", b"1,x,a", b"1,1.5,a", b"1,9999999999999999999,a"),
    *(
        b"1,2,a\r",
        b"1,2,a\rb",
        b"1,2,\0",
        b"\0",
        b"1,2,\xff",
        b"1,2,\xc3\xa9",
        b"\xef\xbb\xbf1,2,a",
        b"1,2,\xef\xbb\xbf",
    ),
    *(b'1,2,"a"', b'1,2,"a', b'"1",2,a', b'1,2,"a""b"', b'1,2,a"b', b'1,2,"a,b"', b'1,2,"', b'1,2,"""', b'1,2,""'),
    *(
        b"1,%s,a" % number
        for number in (b"-2.5e3", b".5", b"7.", b"nan", b"-inf", b"1_0", b"0x1p3", b"1e999", b"1.5.2")
    ),
    *(b"1,2,'a", b" 1, 2, a", b"+1,+2,a", b"y,n,a", b"1,2,abcdefg ", b"1,2, ", b"1,2,\xef\xbb\xbf"),
    *(b"1,2," + b"w" * size for size in (MAX_LINE_BYTES - 4, MAX_LINE_BYTES - 3, 70_000)),
]
GOOD_TEXTS = st.sampled_from([b"", b"abcdefgh", b"w"])
PLAIN = st.builds(lambda *row: b"%d,%d,%s" % row, st.integers(0, 1), st.integers(-9, 99), GOOD_TEXTS)
LINES = st.lists(st.one_of(PLAIN, PLAIN, st.sampled_from(NASTY)), min_size=1, max_size=12)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    LINES,
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.sampled_from(["", ".gz", ".zst"]),
    st.sampled_from([",", "\t"]),
    st.booleans(),
    st.integers(20, 90_000),
    st.booleans(),
)
def test_streams_and_prepare_agree(
    raw: list[bytes],
    end: bytes,
    is_ended: bool,
    suffix: str,
    delimiter: str,
    has_header: bool,
    size: int,
    has_decimals: bool,
) -> None:
    """Any text: a stream that may set lines aside and `prepare` deliver the same rows and set aside the same lines for
    the same reasons; a stream that may not ends at the first of them, and one that may set one fewer aside is refused.
    """
    schema = dataclasses.replace(SMALL, delimiter=delimiter, columns=() if has_header else SMALL.columns)
    schema = dataclasses.replace(schema, integers=(), floats=("n",)) if has_decimals else schema
    contents = end.join([*([b"y,n,a"] if has_header else []), *raw]) + (end if is_ended else b"")
    contents = contents.replace(b",", delimiter.encode())
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(text_lines, "BLOCK_BYTES", size)
        monkeypatch.setattr(text_units, "UNIT_BYTES", size)
        monkeypatch.setattr(text_units, "PARSED_BYTES", size // 3)
        folder = Path(name)
        path = folder / f"log.csv{suffix}"
        path.write_bytes(packed(contents, suffix))
        for part in ("parts", "quarantine"):
            (folder / "work" / part).mkdir(parents=True)
        task = FileTask(str(path), "log", folder, schema, vocabulary=False, max_bad_rows=1)
        try:
            prepare_file(task)
        except ValueError as error:
            reason = str(error)
            with pytest.raises(ValueError) as refused:
                TextReader([str(path)], schema, folder / "lines", max_bad_rows=100)
            assert str(refused.value) == reason
            return
        bad = [BadLine(**json.loads(line)) for line in task.quarantine.read_text().splitlines()]
        prepared = pq.read_table(task.target(0))
        reader = TextReader([str(path)], schema, folder / "lines", max_bad_rows=100)
        assert reader.bad_lines == bad
        assert streamed(reader).equals(prepared.replace_schema_metadata())
        for again in (len(bad), max(1, len(bad))):  # what was found is remembered
            if again:
                assert TextReader([str(path)], schema, folder / "lines", again).bad_lines == bad
        strict = TextReader([str(path)], schema, folder / "lines")
        if not bad:
            assert streamed(strict).equals(prepared.replace_schema_metadata())
            return
        with pytest.raises(ValueError) as ended:
            streamed(strict)
        assert str(ended.value).startswith(f"{path}:{bad[0].line}: {bad[0].reason}; repair or remove the line")
        if len(bad) > 1:
            with pytest.raises(ValueError, match=r"lines are not rows, more than data.max_bad_rows"):
                TextReader([str(path)], schema, folder / "other", len(bad) - 1)


def packed(contents: bytes, suffix: str) -> bytes:
    """The text as a file with the suffix holds it."""
    match suffix:
        case ".gz":
            return gzip.compress(contents, 1)
        case ".zst":
            return zstandard.ZstdCompressor().compress(contents)
        case _:
            return contents


def streamed(reader: TextReader) -> pa.Table:
    """All rows, as `prepare` writes them."""
    batches = list(Stream(Split("train", reader), 5))
    label, dense, ids = (
        np.concatenate([getattr(batch, name).numpy() for batch in batches]) for name in ("label", "dense", "ids")
    )
    return pa.table(
        [label.astype(np.int8), dense[:, 0].copy(), ids[:, 0].astype(np.int32)],
        schema=arrow_schema(reader.schema).remove_metadata(),
    )


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
