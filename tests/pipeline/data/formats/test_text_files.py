"""pipeline/data/formats/text_files.py and text_lines.py, through the log that reads with it:
raw text as Arrow columns, and the place of mistakes."""

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from pipeline.data.formats.text import TextReader
from pipeline.data.formats.text_files import first_fields, inspect_file
from pipeline.data.schema import Schema

PLAIN = Schema("log", "y", ("n", "m"), ("a", "b"), (100, 100), ("b",), columns=("y", "n", "skip", "m", "a", "b"))
HEADED = dataclasses.replace(PLAIN, columns=(), delimiter=",")
ROWS = 300


def lines(rows: int = ROWS, delimiter: str = "\t") -> list[str]:
    """Rows made here, with missing values of every kind."""
    generator = np.random.Generator(np.random.PCG64(0))
    out = []
    for row in range(rows):
        integers = ["" if generator.random() < 0.2 else str(generator.integers(-3, 1000)) for _ in range(3)]
        text = "" if generator.random() < 0.2 else f"{generator.integers(2**32):08x}"
        out.append(delimiter.join([str(row % 2), integers[0], "x", integers[1], text, integers[2]]))
    return out


def packed(text: bytes, suffix: str) -> bytes:
    """The text as a file with the suffix would hold it."""
    match suffix:
        case ".gz":
            return gzip.compress(text)
        case ".zst":
            return zstandard.ZstdCompressor().compress(text)
        case _:
            return text


def write(path: Path, rows: list[str], suffix: str = "", end: str = "\n") -> str:
    """The rows as a file."""
    path = path / f"log.tsv{suffix}"
    path.write_bytes(packed("".join(row + end for row in rows).encode(), suffix))
    return str(path)


def read(path: str, schema: Schema = PLAIN) -> pa.Table:
    """The whole file, decoded too, so that its labels are looked at."""
    log = TextReader([path], schema, Path(path).parent / "counts")
    for unit in range(len(log.units)):
        log.read(unit, None)
    return pa.concat_tables(log.columns(unit, list(schema.inputs)) for unit in range(len(log.units)))


def by_hand(rows: list[str], delimiter: str = "\t") -> list[dict[str, object]]:
    """What the rows say, in plain Python."""
    out: list[dict[str, object]] = []
    for row in rows:
        y, n, _, m, a, b = row.split(delimiter)
        out.append(
            {"y": int(y), **{key: int(v) if v else None for key, v in (("n", n), ("m", m), ("b", b))}, "a": a or None}
        )
    return out


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_values(tmp_path: Path, suffix: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value of every row arrives, compressed or not, whatever ends the lines, in several blocks."""
    monkeypatch.setattr("pipeline.data.formats.text_units.PARSED_BYTES", 1000)
    table = read(write(tmp_path, lines(), suffix, end))
    assert table["y"].num_chunks > 3
    assert table.to_pylist() == [{key: row[key] for key in table.column_names} for row in by_hand(lines())]


def test_several_members(tmp_path: Path) -> None:
    """Compressed files put one behind the other are one file, as gzip and zstd define it."""
    for suffix in (".gz", ".zst"):
        path = tmp_path / f"log.tsv{suffix}"
        halves = (lines()[:100], lines()[100:])
        path.write_bytes(b"".join(packed("".join(f"{row}\n" for row in half).encode(), suffix) for half in halves))
        assert read(str(path)).num_rows == ROWS


def test_no_newline_at_the_end(tmp_path: Path) -> None:
    """The last line may lack its end."""
    path = tmp_path / "log.tsv"
    path.write_text("\n".join(lines()))
    assert read(str(path)).num_rows == ROWS


def test_header_and_quotes(tmp_path: Path) -> None:
    """With a header, columns may come in any order beside others, and commas may be quoted."""
    path = tmp_path / "log.csv"
    path.write_text('\ufeffb,a,ignored,y,m,n\n7,"x,y",z,1,,-2\n', encoding="utf-8")
    assert read(str(path), HEADED).to_pylist() == [{"y": 1, "n": -2, "m": None, "a": "x,y", "b": 7}]


GOOD = lines()[0]
BAD_LINES = [
    ("0\t1\tx\t2\tabc", r"found 5 columns, expected 6"),
    ("0\t1\tx\t2\tabc\t5\t6", r"found 7 columns, expected 6"),
    ("", r"the line is blank, expected 6 columns"),
    ("0", r"found 1 columns, expected 6"),
    ("0\t1.5\tx\t2\tabc\t5", r"column 'n': found '1.5', expected a whole number"),
    ("0\t1\tx\ttwo\tabc\t5", r"column 'm': found 'two', expected a whole number"),
    ("0\t99999999999999999999\tx\t2\tabc\t5", r"column 'n': found '9{20}'"),
    ("0\t1\tx\t2\tabc\tid", r"column 'b': found 'id', expected a whole number"),
    ("2\t1\tx\t2\tabc\t5", r"column 'y': found .*2.*, expected 0 or 1"),
    ("-1\t1\tx\t2\tabc\t5", r"column 'y': found .*-1.*, expected 0 or 1"),
    ("\t1\tx\t2\tabc\t5", r"column 'y': found .*, expected 0 or 1"),
    ("yes\t1\tx\t2\tabc\t5", r"column 'y': found 'yes', expected 0 or 1"),
    ("0\t1\tx\t2\ta\udcffc\t5", r"not UTF-8 text at byte 9"),
]


@pytest.mark.parametrize("place", [0, 150, ROWS - 1])
@pytest.mark.parametrize("line, message", BAD_LINES)
def test_bad_line(tmp_path: Path, place: int, line: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad line anywhere is named by file, line number from 1, column and value, with what to do."""
    monkeypatch.setattr("pipeline.data.formats.text_units.PARSED_BYTES", 2000)
    rows = lines()
    rows[place] = line
    path = tmp_path / "log.tsv"
    path.write_bytes("".join(row + "\n" for row in rows).encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=rf"log.tsv:{place + 1}: {message}.*repair or remove the line"):
        read(str(path))


def test_bad_line_below_a_header(tmp_path: Path) -> None:
    """The header counts as line 1."""
    path = tmp_path / "log.csv"
    for bad in ("x,1,2,c,5", "3,1,2,c,5"):
        path.write_text(f"y,n,m,a,b\n0,1,2,c,5\n{bad}\n")
        with pytest.raises(ValueError, match=r"log.csv:3: column 'y': found .*[x3]"):
            read(str(path), HEADED)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.95])
def test_truncated(tmp_path: Path, suffix: str, keep: float) -> None:
    """A compressed file cut anywhere is an error with its path, never fewer rows."""
    path = Path(write(tmp_path, lines(5000), suffix))
    contents = path.read_bytes()
    path.write_bytes(contents[: int(keep * len(contents))])
    with pytest.raises(ValueError, match=rf"log.tsv\{suffix}: .*(truncated|empty).*again"):
        read(str(path))


def test_not_compressed(tmp_path: Path) -> None:
    """Plain text under a .gz name is damaged data."""
    path = tmp_path / "log.tsv.gz"
    path.write_text("\n".join(lines()))
    with pytest.raises(ValueError, match="truncated or damaged"):
        read(str(path))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_empty(tmp_path: Path, suffix: str) -> None:
    """A file without a byte of text is empty."""
    with pytest.raises(ValueError, match=r"the file is empty"):
        read(write(tmp_path, [], suffix))


def test_header_alone(tmp_path: Path) -> None:
    """A header without rows holds no rows."""
    (tmp_path / "log.csv").write_text("y,n,m,a,b\n")
    with pytest.raises(ValueError, match="holds no rows"):
        read(str(tmp_path / "log.csv"), HEADED)


@pytest.mark.parametrize("header, message", [("y,n,m,a", "'b' 0 times"), ("y,n,m,a,b,a", "'a' 2 times")])
def test_header_lacks_or_repeats_a_column(tmp_path: Path, header: str, message: str) -> None:
    """The column that a header lacks or repeats is named."""
    (tmp_path / "log.csv").write_text(header + "\n")
    with pytest.raises(ValueError, match=message):
        inspect_file(str(tmp_path / "log.csv"), HEADED)


def test_click_counts(tmp_path: Path) -> None:
    """Where the label is a count, larger numbers pass and negative ones do not."""
    schema = dataclasses.replace(PLAIN, count_label=True)
    assert read(write(tmp_path, ["3\t1\tx\t2\tabc\t5"]), schema).num_rows == 1
    with pytest.raises(ValueError, match="expected a number of clicks"):
        read(write(tmp_path, ["-3\t1\tx\t2\tabc\t5"]), schema)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_first_fields(tmp_path: Path, suffix: str) -> None:
    """The columns of the first line, quoted ones too, without a byte order mark or the end of the line."""
    path = tmp_path / f"log.csv{suffix}"
    path.write_bytes(packed(b'\xef\xbb\xbfy,"n,1",m\r\n1,2,3\r\n', suffix))
    assert first_fields(str(path), HEADED) == ["y", "n,1", "m"]
    path.write_bytes(packed(b"1\t2", suffix))
    assert first_fields(str(path), PLAIN) == ["1", "2"]
