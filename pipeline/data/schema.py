"""What the columns of a click log mean: label, integers, categories and their table sizes; JSON both ways."""

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any

from pipeline.data.published_sizes import AVAZU, CRITEO_KAGGLE, CRITEO_TERABYTE, KDD2012
from pipeline.data.schema_checks import check_lists, check_type
from pipeline.data.storage.paths import open_binary, path_manager
from pipeline.run.files import parse_json, write_json

MAX_TABLE_ROWS = 2**31 - 1
"""Rows are numbered in 32 bits inside the stream."""
DEFAULT_LIST_VALUES = 64
"""Values that a list keeps where a schema does not say. Each place takes 4 bytes of a decoded row, used or not."""

LIST_FIELDS = ("lists", "list_separator", "max_list_values")
"""Of a schema, those that only lists need."""


@dataclasses.dataclass(frozen=True)
class Schema:
    """The columns of a click log and the embedding tables they look up.

    A user's own schema is this dataclass as JSON; fields with a default may be left out, unknown ones are an error.

    >>> schema = Schema("shop", "bought", ("price",), ("user", "item"), (1_000, 50), integer_ids=("user",))
    >>> schema.num_integers, schema.num_categories, schema.table_names
    (1, 2, ('t_user', 't_item'))
    >>> Schema.from_json(schema.to_json()) == schema
    True
    >>> schema.with_max_rows(100).table_sizes
    (100, 50)
    """

    name: str
    """What the data set is called."""
    label: str
    """Column of the label: 0 or 1 in every row."""
    integers: tuple[str, ...]
    """Columns of whole numbers, the first dense inputs; negative ones count as 0. May be empty (without any numbers the
    model gets one constant dense input 1.0)."""
    categories: tuple[str, ...]
    """Categorical columns, one id per row each but for those of `lists`; at least one."""
    table_sizes: tuple[int, ...]
    """Rows of each category's embedding table, row 0 (= missing) included: 2 to 2^31 - 1."""
    integer_ids: tuple[str, ...] = ()
    """The categories that hold whole numbers, numbered by modulo. All others are text, numbered by hash."""
    hours: tuple[str, ...] = ()
    """The categories that hold a time as a whole number YYMMDDHH (Avazu), of which the hour of the day is kept."""
    columns: tuple[str, ...] = ()
    """Every column of a text file in its order, when the file has no header. Empty: text files have a header."""
    delimiter: str = "\t"
    """Character between the columns of a text file."""
    count_label: bool = False
    """The label is a number of clicks (KDD Cup 2012): 0 stays 0, anything above is 1."""
    floats: tuple[str, ...] = ()
    """Columns of decimal numbers of either sign, the dense inputs behind the integers."""
    timestamp: str = ""
    """Column that says when a row was logged, for data.split time: numbers that grow with time (seconds, YYMMDDHH),
    dates, or ISO-8601 times, in every row. It is no input of the model unless it is named as one too: a column may be
    both, as an hour of `hours`. Empty: the log has no such column."""
    lists: tuple[str, ...] = ()
    """The categories that have any number of values in a row, none included: lists in Parquet; text of values with
    `list_separator` between them, in text files or in Parquet. Their vectors are averaged. Null and empty values in a
    list are none."""
    list_separator: str = "|"
    """Character between the values of a list that stands as text."""
    max_list_values: tuple[int, ...] = ()
    """Values of a row that each of `lists` keeps, the first ones: 1 to 4096, one number a list. Empty: 64 each."""
    weight: str = ""
    """Column of what each row counts for, in training's loss and in every figure: a number above 0 in every row. A row
    of weight 2 counts as two rows in a mean. It is no input of the model. Empty: all rows count the same."""

    def __post_init__(self) -> None:
        """Every check names the field, the value found and what to do."""
        for field in dataclasses.fields(self):
            check_type(field.name, getattr(self, field.name), field.type)
        if not self.label:
            raise ValueError("schema.label is empty: name the column of the label")
        if not self.categories:
            raise ValueError("schema.categories is empty: at least one categorical column is needed")
        roles = "columns (label, integers, floats, categories, weight)"
        for field_name, names in ((roles, self.inputs), ("columns", self.columns)):
            duplicates = sorted({name for name in names if names.count(name) > 1})
            if duplicates:
                raise ValueError(f"schema.{field_name}: {duplicates} occur more than once; a column has one role")
        if len(self.table_sizes) != len(self.categories):
            raise ValueError(
                f"schema.table_sizes has {len(self.table_sizes)} entries for {len(self.categories)} categories; "
                "give one size per category"
            )
        for column, rows in zip(self.categories, self.table_sizes, strict=True):
            if not 2 <= rows <= MAX_TABLE_ROWS:
                raise ValueError(
                    f"schema.table_sizes of {column!r} is {rows}; use 2 (one id and the row for missing) "
                    f"to {MAX_TABLE_ROWS}"
                )
        for field_name in ("integer_ids", "hours"):
            strangers = sorted(set(getattr(self, field_name)) - set(self.categories))
            if strangers:
                raise ValueError(f"schema.{field_name}: {strangers} are not among schema.categories")
        own = (self.lists, self.list_separator, self.max_list_values)
        check_lists(*own, self.categories, self.integer_ids)
        for field_name, columns in (("hours", self.hours), ("timestamp", (self.timestamp,))):
            if both := sorted(set(self.lists) & set(columns)):
                raise ValueError(f"schema.{field_name}: {both} are in schema.lists too, and a list holds no times")
        if self.lists and self.list_separator == self.delimiter:
            raise ValueError(f"schema.list_separator is {self.delimiter!r}, which is the delimiter; give another")
        if both := sorted(set(self.integer_ids) & set(self.hours)):
            raise ValueError(f"schema.hours: {both} are in schema.integer_ids too; keep one")
        if self.timestamp == self.label:
            raise ValueError(f"schema.timestamp is {self.timestamp!r}, which is the label; name another column")
        if self.weight and self.weight == self.timestamp:
            raise ValueError(f"schema.weight is {self.weight!r}, which is the timestamp; name another column")
        if self.columns and not set(self.used) <= set(self.columns):
            lacking = sorted(set(self.used) - set(self.columns))
            raise ValueError(f"schema.columns lacks {lacking}; name every column in order")
        if len(self.delimiter) != 1:
            raise ValueError(f"schema.delimiter is {self.delimiter!r}; give one character")

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numeric columns, in the order of the dense inputs."""
        return (*self.integers, *self.floats)

    @property
    def num_integers(self) -> int:
        """I, the number of numeric columns, of whole and of decimal numbers (0 allowed)."""
        return len(self.numbers)

    @property
    def dense_width(self) -> int:
        """Width of `Batch.dense`: I, or 1 (the constant 1.0) without numeric columns."""
        return max(self.num_integers, 1)

    @property
    def num_categories(self) -> int:
        """F, the number of categorical columns."""
        return len(self.categories)

    @property
    def id_places(self) -> tuple[int, ...]:
        """Ids of each category that a decoded row has room for [F]: 1, or the values that a list keeps.

        >>> Schema("shop", "bought", (), ("user", "genres"), (9, 9), lists=("genres",), max_list_values=(3,)).id_places
        (1, 3)
        """
        most = dict(zip(self.lists, self.max_list_values or (DEFAULT_LIST_VALUES,) * len(self.lists), strict=True))
        return tuple(most.get(column, 1) for column in self.categories)

    @property
    def num_ids(self) -> int:
        """C, the ids that a decoded row has room for: F without lists."""
        return sum(self.id_places)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Label, numbers, categories, and the weight if there is one: every column that is read for a model."""
        weight = (self.weight,) if self.weight else ()
        return (self.label, *self.numbers, *self.categories, *weight)

    @property
    def used(self) -> tuple[str, ...]:
        """Every column with a role: the inputs, then the timestamp, unless it is one of them."""
        is_alone = self.timestamp and self.timestamp not in self.inputs
        return (*self.inputs, self.timestamp) if is_alone else self.inputs

    @property
    def table_names(self) -> tuple[str, ...]:
        """The embedding tables' names, torchrec's way: `t_<column>`, which differ. A dot, which would divide a module's
        path, is an underscore.

        >>> Schema("web", "clicked", (), ("user.id", "user_id"), (9, 9)).table_names
        ('t_user_id', 't_user_id_2')
        """
        names: list[str] = []
        for column in self.categories:
            wanted = f"t_{column.replace('.', '_')}"
            others = (f"{wanted}_{number}" for number in itertools.count(2))
            names.append(next(name for name in itertools.chain([wanted], others) if name not in names))
        return tuple(names)

    def with_max_rows(self, max_rows: int) -> "Schema":
        """The same schema with no table above `max_rows` rows; ids are then numbered into the smaller tables."""
        if max_rows < 2:
            raise ValueError(f"max_table_rows is {max_rows}; a table needs 2 rows or more")
        return dataclasses.replace(self, table_sizes=tuple(min(rows, max_rows) for rows in self.table_sizes))

    def with_categories(self, columns: tuple[str, ...], table_sizes: tuple[int, ...]) -> "Schema":
        """The same schema with these of its categories alone."""
        places = dict(zip(self.categories, self.id_places, strict=True))
        lists = tuple(column for column in self.lists if column in columns)
        return dataclasses.replace(
            self,
            categories=columns,
            table_sizes=table_sizes,
            integer_ids=tuple(column for column in self.integer_ids if column in columns),
            hours=tuple(column for column in self.hours if column in columns),
            lists=lists,
            list_separator=self.list_separator if lists else "|",
            max_list_values=tuple(places[column] for column in lists),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every field; those on lists only where there are lists, and the weight only where there is
        one, so that what describes another log stays as it was."""
        left_out = (() if self.lists else LIST_FIELDS) + (() if self.weight else ("weight",))
        as_dict = {key: value for key, value in dataclasses.asdict(self).items() if key not in left_out}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in as_dict.items()}

    @classmethod
    def from_json(cls, document: Any, where: str = "schema") -> "Schema":
        """The schema in a JSON object; `where` (a file) opens every error message."""
        if not isinstance(document, dict):
            raise ValueError(f"{where}: expected a JSON object with the schema's fields, found {document!r}")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(document) - set(fields))
        if unknown:
            raise ValueError(f"{where}: unknown keys {unknown}; the keys are {list(fields)}")
        required = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
        missing = [name for name in required if name not in document]
        if missing:
            raise ValueError(f"{where}: the keys {missing} are missing")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        try:
            return cls(**values)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error

    @classmethod
    def load(cls, name_or_path: str) -> "Schema":
        """A built-in schema by name, or a user's own by the path of its JSON file."""
        if name_or_path in BUILT_IN:
            return BUILT_IN[name_or_path]
        if not path_manager().isfile(name_or_path):
            raise ValueError(
                f"schema {name_or_path!r} is neither a file nor built in; "
                f"give the path of a JSON file or one of {sorted(BUILT_IN)}"
            )
        with open_binary(name_or_path) as handle:
            document = parse_json(handle.read(), name_or_path)
        if isinstance(document, dict):
            document = {"name": Path(name_or_path).stem, **document}
        return cls.from_json(document, where=name_or_path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the JSON that `load` reads."""
        write_json(path, self.to_json())


def list_places(longest: int) -> int:
    """Values that a list keeps where a schema is proposed and the longest list of a sample has so many.

    >>> list_places(0), list_places(5), list_places(1000)
    (1, 8, 64)
    """
    return min(DEFAULT_LIST_VALUES, 1 << max(longest - 1, 0).bit_length())


MIN_HASHED_ROWS = 10_000
"""A hash into a table of 3 rows would merge 3 values; into 10,000 rows, 5 % of 500 values meet another."""


def _hashed(distinct_values: int) -> int:
    """Rows of a table that text is hashed into, with row 0 for missing."""
    return 1 + max(distinct_values, MIN_HASHED_ROWS)


def _criteo(name: str, distinct_values: tuple[int, ...]) -> Schema:
    """Criteo's 1 + 13 + 26 columns under torchrec's names."""
    integers = tuple(f"int_{index}" for index in range(13))
    categories = tuple(f"cat_{index}" for index in range(26))
    table_sizes = tuple(_hashed(count) for count in distinct_values)
    return Schema(name, "label", integers, categories, table_sizes, columns=("label", *integers, *categories))


_AVAZU_SCHEMA = Schema(
    name="avazu",
    label="click",
    integers=(),
    categories=tuple(AVAZU),
    table_sizes=tuple(1 + rows if column == "hour" else _hashed(rows) for column, rows in AVAZU.items()),
    hours=("hour",),
    delimiter=",",
)

BUILT_IN = {
    "criteo": _criteo("criteo", CRITEO_KAGGLE),
    "criteo_terabyte": _criteo("criteo_terabyte", CRITEO_TERABYTE),
    "avazu": _AVAZU_SCHEMA,  # split by row unless another data.split is asked for, as published figures are
    "avazu_by_time": dataclasses.replace(_AVAZU_SCHEMA, timestamp="hour"),
    "kdd2012": Schema(
        name="kdd2012",
        label="click",
        integers=(),
        categories=tuple(KDD2012),
        table_sizes=tuple(1 + rows for rows in KDD2012.values()),
        integer_ids=tuple(KDD2012),
        # training.txt of the track. `impression` says how often the row was shown: part of the outcome, not an input.
        columns=(
            *("click", "impression", "display_url", "ad_id", "advertiser_id", "depth", "position"),
            *("query_id", "keyword_id", "title_id", "description_id", "user_id"),
        ),
        count_label=True,
    ),
}
