"""Lines of raw text → rows: the one place that says which lines are rows, for streams and for `prepare` alike.

Arrow parses many lines at once; only where it refuses, or their bytes are not in order, is each line looked at by
itself. A line is a row when its bytes are in order (below), Arrow alone accepts it, its label is one, its weight, where
the schema names one, is a number above 0, and the schema's timestamp, if there is one, is a time in the measure of the
file's first, so that it does not matter which lines stand beside it.

The bytes of a line: UTF-8 without a byte order mark, no NUL, no carriage return, at most MAX_LINE_BYTES, not blank, no
quotation mark left open. Files whose first line ends in CR LF may end any line so; elsewhere the CR would belong to the
last value, and the line is bad.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv

from pipeline.data.formats.features import WORD, LabelError, label_values
from pipeline.data.formats.lists import ListError, is_whole_number, with_lists
from pipeline.data.formats.reader import BadLine
from pipeline.data.formats.text_files import (
    BYTE_ORDER_MARK,
    TextFile,
    damaged,
    decompressed,
    inspect_file,
    may_quote,
    split_fields,
)
from pipeline.data.formats.times import MEASURES, NUMBER, WHOLE, ZONED, TimeError, is_time, times
from pipeline.data.formats.weights import WEIGHT_RULE, WeightError, weight_values
from pipeline.data.schema import Schema

BLOCK_BYTES = 8 * 2**20
"""Text that `read_blocks` parses at once."""
MAX_LINE_BYTES = 2**16
"""No row of a click log comes near it (Criteo's have about 240 bytes). The end of the line does not count."""
SHOWN_BYTES = 200
"""What is kept of a bad line."""
_LINE_MARK = b"\n" + BYTE_ORDER_MARK
_PLAIN_INTEGER = re.compile(rb"-?[0-9]{1,18}|")
_PLAIN_DECIMAL = re.compile(rb"-?[0-9]{1,15}(\.[0-9]{1,15})?|")
_PLAIN_WEIGHT = re.compile(rb"[1-9][0-9]{0,14}(\.[0-9]{1,15})?")
_INTEGER = re.compile(r"[+-]?\d{1,19}")
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_PLAIN_TIME = rb"(19|20)\d{2}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])[ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
_TEXT = pa.string()


@dataclasses.dataclass(frozen=True)
class Block:
    """Some lines of a file, parsed."""

    rows: pa.RecordBatch
    """The good ones: label and integers as int64, decimal numbers as float64, categories as int64 or text, empty =
    null; lists as lists."""
    bad: list[BadLine]
    """The others."""


def read_blocks(path: str, schema: Schema) -> Iterator[Block]:
    """All rows and bad lines of a file, in their order. A damaged or empty file or a bad header is a ValueError."""
    file = inspect_file(path, schema)
    parser = LineParser(file, schema)
    for first_line, lines in _blocks_of_lines(file):
        rows = parser.parse(lines)
        yield parser.separate(lines, first_line) if rows is None else Block(rows, [])


class LineParser:
    """Parses whole lines of one file; may be shared by threads."""

    def __init__(self, file: TextFile, schema: Schema, use_threads: bool = True) -> None:
        """`use_threads`: whether Arrow may convert several columns at the same time."""
        self._file, self._schema, self._use_threads = file, schema, use_threads
        self._delimiter = schema.delimiter.encode()
        self._may_quote = may_quote(schema)
        self._texts_are_words = True  # until a text of another length is met
        ids = [name for name in (*schema.integer_ids, *schema.hours) if name not in schema.lists]
        whole = (schema.label, *schema.integers, *ids)
        self._whole_places = [file.columns.index(name) for name in whole]
        self._float_places = [file.columns.index(name) for name in schema.floats]
        self._types = dict.fromkeys(schema.used, _TEXT)
        self._types |= {name: pa.int64() for name in whole} | {name: pa.float64() for name in schema.floats}
        self._types |= {schema.weight: pa.float64()} if schema.weight else {}
        self._weight_place = file.columns.index(schema.weight) if schema.weight else None
        self._words = {name for name in schema.categories if self._types[name] is _TEXT and name not in schema.lists}
        self._separator = schema.list_separator.encode()
        self._whole_lists = [file.columns.index(name) for name in schema.lists if name in schema.integer_ids]
        self._time_place = file.columns.index(schema.timestamp) if schema.timestamp else None
        self._plain_time = _plain_time(file.times)

    def parse(self, lines: bytes, names: Sequence[str] | None = None, words: bool = False) -> pa.RecordBatch | None:
        """The named columns (None: all that the schema uses) of the lines, or None if one of the lines is not a row.

        With `words`, the texts come as `WORD` if all have 8 bytes, which saves a third of the time; a file in which
        some have not is tried once.
        """
        names = self._schema.used if names is None else names
        if self._file.crlf:
            lines = _without_cr(lines)
        if not lines:
            return self._no_rows(names)
        is_ascii = lines.isascii()
        if not _are_bytes_in_order(lines, is_ascii) or self._ends_in_quotation(lines):
            return None
        if words and is_ascii and self._texts_are_words:
            rows = self._arrow(lines, names, WORD)
            if rows is not None:
                return rows
        rows = self._arrow(lines, names, _TEXT)
        if words and is_ascii and rows is not None:
            self._texts_are_words = False
        return rows

    def separate(self, lines: bytes, first_line: int) -> Block:
        """The rows and the bad lines among the lines, the first of which has the number given; one after the other."""
        good, bad = [], []
        lines = _without_cr(lines) if self._file.crlf else lines
        for number, line in enumerate(lines.removesuffix(b"\n").split(b"\n"), start=first_line):
            if reason := "" if self._is_plain_row(line) else self._problem(line):
                shown = line[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
                bad.append(BadLine(self._file.path, number, reason, shown))
            else:
                good.append(line + b"\n")
        names = self._schema.used
        rows = self._arrow(b"".join(good), names, _TEXT) if good else self._no_rows(names)
        assert rows is not None and rows.num_rows == len(good), "Arrow refuses lines together that it accepts alone"
        return Block(rows, bad)

    def _arrow(self, lines: bytes, names: Sequence[str], text: pa.DataType) -> pa.RecordBatch | None:
        """The rows, if Arrow accepts every line and every label is one. `text`: the type of text columns."""
        options = pa.csv.ReadOptions(
            use_threads=self._use_threads,
            block_size=len(lines) + 1,  # one batch
            column_names=list(self._file.columns),
        )
        conversion = pa.csv.ConvertOptions(
            include_columns=list(names),
            column_types={name: text if name in self._words else kind for name, kind in self._types.items()},
            null_values=[""],
            strings_can_be_null=True,
            check_utf8=False,  # done
        )
        quote: str | bool = '"' if self._may_quote else False
        parsing = pa.csv.ParseOptions(delimiter=self._schema.delimiter, quote_char=quote, ignore_empty_lines=False)
        try:
            (rows,) = pa.csv.read_csv(pa.py_buffer(lines), options, parsing, conversion).to_batches()
            if self._schema.label in names:
                label_values(rows.column(self._schema.label), self._schema.count_label)
            if self._schema.timestamp in names and self._schema.timestamp:
                times(rows.column(self._schema.timestamp), self._file.times)
            if self._schema.weight and self._schema.weight in names:
                weight_values(rows.column(self._schema.weight))
            rows = with_lists(rows, self._schema)
        except (pa.ArrowInvalid, LabelError, ListError, TimeError, WeightError):
            return None
        if self._may_quote and rows.num_rows != lines.count(b"\n") + (not lines.endswith(b"\n")):
            return None  # an open quotation mark swallows the end of its line
        return rows

    def _ends_in_quotation(self, lines: bytes) -> bool:
        """Whether the last line leaves a quotation mark open, which Arrow accepts there (and, before other lines, not).

        What an open quotation mark does to the next line shows when the line is put below itself.
        """
        last = lines[lines.rfind(b"\n", 0, len(lines) - 1) + 1 :].removesuffix(b"\n")
        if not self._may_quote or b'"' not in last:
            return False
        return self._arrow((last + b"\n") * 2, self._schema.used, _TEXT) is None

    def _is_plain_row(self, line: bytes) -> bool:
        """Whether the line is surely a row: unquoted ASCII with short decimal numbers and an ordinary time."""
        if not line.isascii() or len(line) > MAX_LINE_BYTES or b"\0" in line or b"\r" in line or b'"' in line:
            return False
        fields = line.split(self._delimiter)
        if len(fields) != len(self._file.columns) or fields[self._whole_places[0]] not in (b"0", b"1"):
            return False
        if self._time_place is not None and not self._plain_time.fullmatch(fields[self._time_place]):
            return False
        if self._weight_place is not None and not _PLAIN_WEIGHT.fullmatch(fields[self._weight_place]):
            return False
        items = [item for place in self._whole_lists for item in fields[place].split(self._separator)]
        whole = [*(fields[place] for place in self._whole_places), *items]
        return all(map(_PLAIN_INTEGER.fullmatch, whole)) and all(
            _PLAIN_DECIMAL.fullmatch(fields[place]) for place in self._float_places
        )

    def _problem(self, line: bytes) -> str:
        """What is wrong with a line; empty if nothing is."""
        if len(line) > MAX_LINE_BYTES:
            return f"the line has more than {MAX_LINE_BYTES} bytes"
        for byte, name in ((b"\0", "a NUL byte"), (b"\r", "a carriage return")):
            if byte in line:
                return f"{name} at byte {line.index(byte)} of the line"
        if line.startswith(BYTE_ORDER_MARK):
            return "a byte order mark at the start of the line"
        if line and _is_utf8(line) and self._arrow(line, self._schema.used, _TEXT) is not None:
            return "a quotation mark is not closed" if self._ends_in_quotation(line) else ""
        problem = line_problem(line, self._schema, self._file.columns, self._file.times)
        return problem or "Arrow cannot parse the line"

    def _no_rows(self, names: Sequence[str]) -> pa.RecordBatch:
        types = pa.schema([(name, self._types.get(name, pa.null())) for name in names])
        return with_lists(pa.RecordBatch.from_pylist([], types), self._schema)


def _plain_time(measure: pa.DataType | None) -> re.Pattern[bytes]:
    """Surely times of the measure."""
    if measure in (None, NUMBER, WHOLE):
        return re.compile(rb"-?[0-9]{1,18}" if measure == WHOLE else rb"-?[0-9]{1,15}(\.[0-9]{1,15})?")
    return re.compile(_PLAIN_TIME + (rb"Z" if measure == ZONED else rb""))


def line_problem(line: bytes, schema: Schema, columns: Sequence[str], times: pa.DataType | None = None) -> str | None:
    """What is wrong with the columns of a line, if anything is. `times`: the measure of the schema's timestamp.

    >>> schema = Schema("shop", "bought", ("price",), ("item",), (50,), columns=("bought", "price", "item"))
    >>> line_problem(b"1\\tx\\tpen", schema, schema.columns)
    "column 'price': found 'x', expected a whole number or nothing"
    """
    try:
        fields = split_fields(line.decode("utf-8"), schema)
    except UnicodeDecodeError as error:
        return f"not UTF-8 text at byte {error.start} of the line: {line[error.start : error.start + 4]!r}"
    if not line:
        return f"the line is blank, expected {len(columns)} columns"
    if len(fields) != len(columns):
        return f"found {len(fields)} columns, expected {len(columns)}"
    values = dict(zip(columns, fields, strict=True))
    for column in (*schema.integers, *schema.integer_ids, *schema.hours):
        if column in schema.lists:
            bad = [item for item in values[column].split(schema.list_separator) if not is_whole_number(item)]
            if bad:
                return f"column {column!r}: found {bad[0]!r} in a list, expected whole numbers or nothing"
        elif values[column] and not _is_int64(values[column]):
            return f"column {column!r}: found {values[column]!r}, expected a whole number or nothing"
    for column in schema.floats:
        if values[column] and not _DECIMAL.fullmatch(values[column].strip()):
            return f"column {column!r}: found {values[column]!r}, expected a number or nothing"
    if times is not None and not is_time(values[schema.timestamp].strip(), times):
        return f"column {schema.timestamp!r}: found {values[schema.timestamp]!r}, expected {MEASURES[times]}"
    if schema.weight and not _is_weight(values[schema.weight].strip()):
        return f"column {schema.weight!r}: found {values[schema.weight]!r}, expected {WEIGHT_RULE}"
    label = values[schema.label]
    is_label = label in ("0", "1") or (schema.count_label and _is_int64(label) and int(label) >= 0)
    expected = "a number of clicks" if schema.count_label else "0 or 1"
    return None if is_label else f"column {schema.label!r}: found {label!r}, expected {expected}"


def _is_weight(text: str) -> bool:
    if not _DECIMAL.fullmatch(text):
        return False
    try:
        weight_values(pa.array([float(text)]))
    except WeightError:
        return False
    return True


def _is_int64(text: str) -> bool:
    return _INTEGER.fullmatch(text.strip()) is not None and -(2**63) <= int(text) < 2**63


def _are_bytes_in_order(lines: bytes, is_ascii: bool) -> bool:
    """Whether the bytes of every line are as the file's beginning says, but for open quotation marks."""
    if b"\0" in lines or b"\r" in lines:
        return False
    if not is_ascii and (not _is_utf8(lines) or lines.startswith(BYTE_ORDER_MARK) or _LINE_MARK in lines):
        return False
    # A line that is too long covers a whole stretch of half its bytes: nearly always it is enough to look for one end
    # of a line in each stretch.
    half = MAX_LINE_BYTES // 2
    if all(lines.find(b"\n", start, start + half) >= 0 for start in range(0, len(lines) - half + 1, half)):
        return True
    return max(map(len, lines.split(b"\n"))) <= MAX_LINE_BYTES


def _is_utf8(contents: bytes) -> bool:
    try:
        contents.decode()
    except UnicodeDecodeError:
        return False
    return True


def _without_cr(lines: bytes) -> bytes:
    """Lines that end in CR LF or LF as lines that end in LF; the last may lack its LF."""
    return lines.replace(b"\r\n", b"\n").removesuffix(b"\r")


def _blocks_of_lines(file: TextFile) -> Iterator[tuple[int, bytes]]:
    """(number of the first line, whole lines), in order; only the last line may lack its end.

    Of a line longer than a block, and than any row, only the beginning is kept: a line without end does not fill the
    memory.
    """
    next_line, rest, is_cut = file.first_line, b"", False
    for block in _raw_blocks(file):
        if is_cut:  # the rest of that line is of no interest
            place = block.find(b"\n")
            block = b"" if place < 0 else block[place:]
        end = block.rfind(b"\n") + 1
        if end:
            lines, rest, is_cut = rest + block[:end], block[end:], False
            yield next_line, lines
            next_line += lines.count(b"\n")
        elif not is_cut:
            rest += block
            is_cut = len(rest) > max(BLOCK_BYTES, MAX_LINE_BYTES + 1)
    if rest:
        yield next_line, rest


def _raw_blocks(file: TextFile) -> Iterator[bytes]:
    """The decompressed bytes from the first row on."""
    try:
        with decompressed(file.path) as stream:
            left = file.start
            while left and (skipped := stream.read(left)):
                left -= len(skipped)
            while block := stream.read(BLOCK_BYTES):
                yield block
    except (pa.ArrowException, OSError) as error:
        raise damaged(file.path, error) from error
