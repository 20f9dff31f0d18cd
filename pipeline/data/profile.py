"""What the columns of a click log hold: types, missing and distinct values, the most frequent; by DuckDB, on a sample.

Of text the sample is the beginning of every file, as it would be typed in; of Parquet the first row groups.
"""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data.formats.text_files import damaged, decompressed
from pipeline.data.storage.paths import open_arrow

SAMPLE_BYTES = 64 * 2**20
"""Of text, in all files together."""
SAMPLE_ROWS = 500_000
"""Of Parquet, in all files together."""
SHOWN_VALUES = 3
"""Most frequent values of a column."""

Kind = Literal["whole numbers", "numbers", "times", "text", "lists", "nothing"]
"""numbers: some have decimals; times: ISO-8601, all with a zone or all without; nothing: no value at all."""
NO_SEPARATORS: Mapping[str, str] = MappingProxyType({})
"""Where no column of text is known to hold lists."""
_ISO_TIME = r"\d{4}-\d{2}-\d{2}([ T]\d{2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?)?"
_ZONE = r"(Z|[+-]\d{2}(:?\d{2})?)"


@dataclasses.dataclass(frozen=True)
class ColumnProfile:
    """One column of the sample."""

    name: str
    """As the header or the Parquet file has it."""
    kind: Kind
    """What all of its values are."""
    missing: int
    """Rows without a value."""
    distinct: int
    """Distinct values among them."""
    lowest: float | None
    """Of numbers."""
    highest: float | None
    """Of numbers."""
    top: tuple[tuple[str, int], ...]
    """The most frequent values and how many rows hold each, the most frequent first."""
    rises: bool = False
    """Whether numbers or times never fall from one row to the next, and do not all equal."""
    lists: "ListProfile | None" = None
    """Of lists; `distinct`, `lowest`, `highest` and `top` are then of their values, `missing` counts empty ones too."""


@dataclasses.dataclass(frozen=True)
class ListProfile:
    """How long the lists of a column are, and what is in them."""

    kind: Kind
    """What all of their values are."""
    mean: float
    """Values a row, null and empty ones not counted."""
    longest: int
    """The most of one row."""


@dataclasses.dataclass(frozen=True)
class LogProfile:
    """The sample as a whole."""

    rows: int
    """Rows looked at."""
    is_whole: bool
    """Whether these are all rows of the log."""
    columns: tuple[ColumnProfile, ...]
    """In the order of the files."""
    delimiter: str = ""
    """Between the columns of text; empty for Parquet."""
    has_header: bool = True
    """Whether a text file begins with the columns' names."""


def profile_text(files: list[str], delimiter: str = "", separators: Mapping[str, str] = NO_SEPARATORS) -> LogProfile:
    """The profile of text files. `delimiter`: where it is known; else it is found. `separators`: of the columns of
    lists. Raises ValueError for damaged files and where no columns are found."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        samples, is_whole = _beginnings(files, Path(folder))
        options = ", delim = $delimiter" if delimiter else ""
        given = {"delimiter": delimiter} if delimiter else {}
        try:
            found = connection.execute(
                f"SELECT Delimiter, HasHeader FROM sniff_csv($file{options})", {"file": samples[0], **given}
            ).fetchone()
            assert found is not None
            separator, has_header = str(found[0]), bool(found[1])
            connection.execute(
                "CREATE TABLE log AS SELECT * FROM read_csv($files, delim = $delimiter, header = $header, "
                "all_varchar = true, null_padding = true, ignore_errors = true, strict_mode = false)",
                {"files": samples, "delimiter": separator, "header": has_header},
            )
        except duckdb.Error as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"{files[0]}: its columns cannot be told apart ({reason}); give a data.schema") from error
        rows, columns = _profiles(connection, separators)
    return LogProfile(rows, is_whole, columns, separator, has_header)


def profile_parquet(files: list[str], separators: Mapping[str, str] = NO_SEPARATORS) -> LogProfile:
    """The profile of Parquet files. `separators`: of the columns of text that hold lists. Raises ValueError for a file
    that is not Parquet."""
    tables, rows, is_whole = list[pa.Table](), 0, True
    for path in files:
        try:
            file = pq.ParquetFile(open_arrow(path))
            for group in range(file.num_row_groups):
                if rows >= SAMPLE_ROWS:
                    is_whole = False
                    break
                tables.append(file.read_row_group(group))
                rows += tables[-1].num_rows
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path}: not a whole Parquet file: {error}; write or copy it again") from error
    sample = pa.concat_tables(tables, promote_options="permissive")
    with duckdb.connect() as connection:
        connection.register("log", sample)
        rows, columns = _profiles(connection, separators)
    return LogProfile(rows, is_whole, columns)


def _beginnings(files: list[str], folder: Path) -> tuple[list[str], bool]:
    """Whole lines from the beginning of each file, as plain text files; and whether that is all there is."""
    share, samples, is_whole = max(SAMPLE_BYTES // len(files), 2**16), [], True
    for number, path in enumerate(files):
        try:
            with decompressed(path) as stream:
                contents = stream.read(share)
                while len(contents) < share and (more := stream.read(share - len(contents))):
                    contents += more
                rest = stream.read(1)
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, error) from error
        if rest:
            is_whole, contents = False, contents[: contents.rfind(b"\n") + 1]
        if not contents.strip():
            raise ValueError(f"{path}: the file is empty; remove it or write it again")
        samples.append(str(folder / f"{number}.txt"))
        Path(samples[-1]).write_bytes(contents)
    return samples, is_whole


def _profiles(
    connection: duckdb.DuckDBPyConnection, separators: Mapping[str, str]
) -> tuple[int, tuple[ColumnProfile, ...]]:
    """Rows, and the profile of every column, of the table `log`."""
    described = connection.execute("DESCRIBE log").fetchall()
    ((rows,),) = connection.execute("SELECT count(*) FROM log").fetchall()
    columns = list[ColumnProfile]()
    for name, kind, *_ in described:
        column = '"' + str(name).replace('"', '""') + '"'
        if name in separators or str(kind).endswith("]"):
            columns.append(_list_profile(connection, str(name), column, str(kind), separators.get(name)))
        else:
            columns.append(_profile(connection, str(name), column, int(rows), "log"))
    return int(rows), tuple(columns)


def _list_profile(
    connection: duckdb.DuckDBPyConnection, name: str, column: str, kind: str, separator: str | None
) -> ColumnProfile:
    """The profile of a column of lists, or of text with a separator in it."""
    lists = (
        column if kind.endswith("]") else f"string_split({column}, '{(separator or '').replace(chr(39), chr(39) * 2)}')"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE lists AS SELECT "
        f"list_filter({lists}, lambda one: one IS NOT NULL AND CAST(one AS VARCHAR) <> '') AS value FROM log"
    )
    query = "SELECT count(*) FILTER (WHERE coalesce(len(value), 0) = 0), coalesce(sum(len(value)), 0), max(len(value))"
    ((missing, values, longest),) = connection.execute(f"{query} FROM lists").fetchall()
    ((rows,),) = connection.execute("SELECT count(*) FROM lists").fetchall()
    connection.execute("CREATE OR REPLACE TEMP TABLE list_values AS SELECT unnest(value) AS value FROM lists")
    of_values = _profile(connection, name, "value", int(values), "list_values")
    found = ListProfile(of_values.kind, int(values) / max(int(rows), 1), int(longest or 0))
    return dataclasses.replace(of_values, kind="lists", missing=int(missing), rises=False, lists=found)


def _profile(connection: duckdb.DuckDBPyConnection, name: str, column: str, rows: int, table: str) -> ColumnProfile:
    value = f"nullif(CAST({column} AS VARCHAR), '')"
    number = f"CASE WHEN isnan(TRY_CAST({value} AS DOUBLE)) THEN NULL ELSE TRY_CAST({value} AS DOUBLE) END"
    query = f"""
        SELECT count({value}), count(TRY_CAST({value} AS DOUBLE)), count(DISTINCT {value}),
               count(TRY_CAST({value} AS BIGINT)) FILTER (WHERE regexp_full_match({value}, '[+-]?[0-9]+')),
               count(*) FILTER (WHERE regexp_full_match({value}, '[+-]?[0-9]+')),
               count(*) FILTER (WHERE regexp_full_match({value}, '{_ISO_TIME}')),
               count(*) FILTER (WHERE regexp_full_match({value}, '{_ISO_TIME}{_ZONE}')),
               min({number}), max({number})
        FROM {table}"""
    (found,) = connection.execute(query).fetchall()
    present, numbers, distinct, whole, digits, local, zoned, lowest, highest = found
    counted = f"SELECT {value} AS value, count(*) AS n FROM {table} GROUP BY 1 HAVING value IS NOT NULL"
    top = connection.execute(f"{counted} ORDER BY n DESC, value LIMIT {SHOWN_VALUES}").fetchall()
    kind_of_values = _kind(present, numbers, whole, digits, max(local, zoned))
    is_number = kind_of_values in ("whole numbers", "numbers")
    return ColumnProfile(
        name,
        kind=kind_of_values,
        missing=rows - int(present),
        distinct=int(distinct),
        lowest=lowest if is_number else None,
        highest=highest if is_number else None,
        top=tuple((str(text), int(count)) for text, count in top),
        rises=distinct > 1 and _rises(connection, kind_of_values, number if is_number else value, table),
    )


def _rises(connection: duckdb.DuckDBPyConnection, kind: Kind, value: str, name: str) -> bool:
    """Whether no number or time is less than the one before it; ISO-8601 times are compared as texts."""
    if kind == "text":
        return False
    table: Any = connection.execute(f"SELECT {value} AS value FROM {name}").to_arrow_table()
    column = table["value"].drop_null()
    return bool(pc.all(pc.greater_equal(column.slice(1), column.slice(0, len(column) - 1))).as_py())


def _kind(present: int, numbers: int, whole: int, digits: int, times: int) -> Kind:
    """What all values are, of which so many are there, are numbers, whole numbers of 64 bits, digits alone, and times.

    Digits that 64 bits do not hold are names, not quantities.
    """
    if not present:
        return "nothing"
    if whole == present:
        return "whole numbers"
    if times == present:
        return "times"
    return "numbers" if numbers == present and digits == whole else "text"


def top_in_words(column: ColumnProfile, rows: int) -> str:
    """The most frequent values with their shares of the rows.

    >>> top_in_words(ColumnProfile("a", "text", 0, 2, None, None, (("x", 3), ("y", 1))), rows=4)
    'x 75 %, y 25 %'
    """

    def shown(value: Any) -> str:
        return value if len(value) <= 16 else value[:15] + "…"

    return ", ".join(f"{shown(value)} {100 * count / rows:.2g} %" for value, count in column.top)
