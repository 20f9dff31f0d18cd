"""A schema for a bare click log: which column is the label, which are numbers, which categories, and which say nothing.

The rules are about names and values, in this order, and a person should look at the result: a proposal is written as a
JSON file to be changed.
"""

import dataclasses
import re

from pipeline.data.formats.times import LEAST_TIME, LEAST_TIMES, TIMESTAMP_NAMES
from pipeline.data.profile import ColumnProfile, LogProfile
from pipeline.data.schema import BUILT_IN, MAX_TABLE_ROWS, MIN_HASHED_ROWS, Schema, list_places

LABELS = (
    *("label", "click", "clicked", "clicks", "is_click", "is_clicked", "target", "y", "conversion", "converted"),
    *("is_conversion", "bought", "purchase", "purchased", "buy", "like", "liked", "installed", "is_install", "action"),
)
"""Names that labels have, the likeliest first, in lower case."""
QUANTITY_NAME = re.compile(
    r"^(i|int|num|n)_?\d+$|(^|[_\W])(n|num|number|count|cnt|qty|quantity|price|cost|amount|total|sum|avg|mean|min|max|age|"
    r"score|rating|duration|seconds|minutes|length|size|views|clicks|impressions|visits|freq|frequency|rank|position|"
    r"balance|income|revenue|salary|distance|weight|height)($|[_\W])",
    re.IGNORECASE,
)
"""Names of whole-number columns that count or measure. All others are categories: an id that is taken for a number says
nothing, a number that is taken for a category says nearly all."""
TIME_NAME = re.compile(r"(^|_)(time|timestamp|ts|date|datetime|epoch)($|_)", re.IGNORECASE)
"""Names of columns that hold a time."""
FEW_VALUES = 20
"""Whole numbers with at most so many distinct values are categories, whatever their name."""
UNIQUE_SHARE = 0.9
"""A column other than a number with so many distinct values a row is a row's name."""
UNIQUE_ROWS = 1_000
"""Rows from which on that is said."""


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A schema, and what each column is in it."""

    schema: Schema
    """To be looked at."""
    left_out: dict[str, str]
    """Columns that are no input, and why."""


def propose(log: LogProfile, name: str, label: str = "") -> Proposal:
    """The schema of a profiled log. `label`: its column, where the rules do not find it.

    Raises ValueError where no column can be the label, or several can.
    """
    if known := _known(log, label):
        return Proposal(known, {})
    label = _label(log, label)
    timestamp = _timestamp([column for column in log.columns if column.name != label])
    roles = {
        column.name: _role(column, log.rows, is_typed=not log.delimiter)
        for column in log.columns
        if column.name != label
    }
    roles |= {timestamp: "timestamp"} if timestamp else {}
    of = {column.name: column for column in log.columns}
    left_out = {column: reason.removeprefix("-") for column, reason in roles.items() if reason.startswith("-")}
    categories = [
        column for column, role in roles.items() if role in ("whole id", "text id", "whole list", "text list")
    ]
    lists = {column: of[column].lists for column in categories if roles[column].endswith("list")}
    if not categories:
        raise ValueError(
            f"no column of {[column.name for column in log.columns]} looks like a category; a click-through model "
            "needs at least one: name it in a data.schema file"
        )
    schema = Schema(
        name=name,
        label=label,
        integers=tuple(column for column, role in roles.items() if role == "integer"),
        categories=tuple(categories),
        table_sizes=tuple(_table_rows(of[column]) for column in categories),
        integer_ids=tuple(column for column in categories if roles[column].startswith("whole")),
        columns=() if log.has_header else tuple(of),
        delimiter=log.delimiter or "\t",
        floats=tuple(column for column, role in roles.items() if role == "float"),
        timestamp=timestamp,
        lists=tuple(lists),
        max_list_values=tuple(list_places(found.longest) for found in lists.values() if found is not None),
    )
    return Proposal(schema, left_out)


def _known(log: LogProfile, label: str) -> Schema | None:
    """The built-in schema whose columns the log has, by its header, or Criteo's, which has none, by their number."""
    names = {column.name for column in log.columns}
    for own in BUILT_IN.values():
        if label not in ("", own.label) or own.delimiter != (log.delimiter or own.delimiter):
            continue
        if set(own.inputs) <= names if log.has_header else len(own.columns) == len(log.columns):
            return own
    return None


def _label(log: LogProfile, asked: str) -> str:
    """The column of the label: the one asked for, else by its name, else the only one of zeros and ones."""
    names = [column.name for column in log.columns]
    if asked:
        if asked not in names:
            raise ValueError(f"label {asked!r} is no column; the columns are {names}")
        return asked
    binary = [column.name for column in log.columns if _is_binary(column)]
    by_name = sorted((name for name in binary if name.lower() in LABELS), key=lambda name: LABELS.index(name.lower()))
    if by_name or len(binary) == 1:
        return (by_name or binary)[0]
    found = f"{binary} hold zeros and ones" if binary else "none holds zeros and ones alone"
    raise ValueError(f"which column is the label cannot be told: of {names}, {found}; give --label NAME")


def _timestamp(columns: list[ColumnProfile]) -> str:
    """The column that says when a row was logged; empty if none surely does.

    A column of times in every row: the one with the likeliest name, else one that rises from row to row.
    """
    times = [column for column in columns if _holds_times(column) and not column.missing]
    named = {column.name.lower(): column.name for column in times}
    found = [named[name] for name in TIMESTAMP_NAMES if name in named]
    return next(iter([*found, *(column.name for column in times if column.rises)]), "")


def _holds_times(column: ColumnProfile) -> bool:
    """Whether a column is named as a time and has dates, numbers as large as times, or numbers that rise."""
    if not TIME_NAME.search(column.name) or column.distinct < LEAST_TIMES:
        return False
    if column.kind in ("whole numbers", "numbers"):
        assert column.lowest is not None
        return column.rises or column.lowest >= LEAST_TIME
    return column.kind == "times"


def _is_binary(column: ColumnProfile) -> bool:
    is_whole = column.kind in ("whole numbers", "numbers")
    return is_whole and not column.missing and column.distinct == 2 and (column.lowest, column.highest) == (0, 1)


def _role(column: ColumnProfile, rows: int, is_typed: bool) -> str:
    """integer, float, "whole id", "text id", "whole list", "text list", or, behind a dash, why the column is left out.

    `is_typed`: times may be of a type of their own, which is none of a category's.
    """
    is_unique = rows >= UNIQUE_ROWS and column.distinct >= UNIQUE_SHARE * rows
    if column.lists is not None:
        kinds = {
            "whole numbers": "whole list",
            "text": "text list",
            "times": "text list",
            "nothing": "-it holds no value",
        }
        return kinds.get(column.lists.kind, "-it holds lists of decimal numbers, which are not read")
    if column.kind == "nothing":
        return "-it holds no value"
    if column.distinct == 1 and not column.missing:
        return "-it holds one value alone"
    if TIME_NAME.search(column.name) and column.kind == "numbers" and (column.lowest or 0) >= LEAST_TIME:
        return "-it looks like a time"
    if column.kind == "numbers":
        return "float"
    if column.kind == "times" and is_typed:
        return "-it holds times"
    if column.kind in ("text", "times"):
        return "-nearly every row has a text of its own" if is_unique else "text id"
    assert column.lowest is not None and column.highest is not None
    if TIME_NAME.search(column.name) and column.lowest >= LEAST_TIME:
        return "-it looks like a time"
    if QUANTITY_NAME.search(column.name) and column.distinct > FEW_VALUES:
        return "integer" if column.lowest >= 0 else "float"
    return "-nearly every row has an id of its own" if is_unique else "whole id"


def _table_rows(column: ColumnProfile) -> int:
    """Rows of a category's table: of whole numbers their range, so that none meet; text is hashed or counted."""
    if column.kind in ("text", "times") or (column.lists is not None and column.lists.kind != "whole numbers"):
        return 1 + max(column.distinct, MIN_HASHED_ROWS)
    assert column.lowest is not None and column.highest is not None
    return max(2, min(MAX_TABLE_ROWS, int(column.highest - column.lowest) + 2))
