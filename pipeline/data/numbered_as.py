"""A log numbered as an earlier one was, so that a model that was trained on that one can be trained on.

<folder>/numbered_as.json     the earlier log's schema, whose tables are as large as that model's, and its rules
<folder>/vocabulary_earlier/  its vocabularies, where it had any, to be extended (extended_vocabularies.py)

A value that the earlier log's training rows did not hold shares a row, as any other, where text is hashed.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from pipeline.data.config import DataConfig
from pipeline.data.extended_vocabularies import EARLIER
from pipeline.data.formats.prepared import file_name
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import path_manager
from pipeline.data.vocabularies import FOLDER
from pipeline.run.files import read_json, write_json

FILE = "numbered_as.json"
"""In a run's data folder."""


@dataclasses.dataclass(frozen=True)
class NumberedAs:
    """How an earlier log was numbered."""

    source: str
    """The folder of the run that was trained on it, for messages."""
    schema: Schema
    """Its columns; tables as large as that run's."""
    numbering: dict[str, Any]
    """Its rules, as model.json has them."""

    @property
    def vocabulary_columns(self) -> tuple[str, ...]:
        """The categories that have a vocabulary."""
        return tuple(self.numbering.get("vocabulary_files", {}))


def begin_numbered_as(earlier: NumberedAs, data_of_source: Path, home: Path) -> None:
    """Make a new run's data folder one whose log is numbered so; nothing where it is that already.

    Raises ValueError for vocabularies that are not in the earlier run's own data folder.
    """
    if (home / FILE).exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    if columns := earlier.vocabulary_columns:
        found = data_of_source / FOLDER
        missing = [column for column in columns if not (found / f"{file_name(column)}.parquet").exists()]
        if missing:
            raise ValueError(
                f"{found} has no vocabulary of {missing}: the log of {earlier.source} was prepared, and its "
                "vocabularies lie with it, not with the run; such a model cannot be trained on: search anew, without "
                "warm_start"
            )
        copied = home / f"{EARLIER}.tmp-copy"  # a run's folder removes such leftovers when it is opened again
        shutil.rmtree(copied, ignore_errors=True)
        copied.mkdir()
        for column in columns:
            shutil.copyfile(found / f"{file_name(column)}.parquet", copied / f"{file_name(column)}.parquet")
        shutil.rmtree(home / EARLIER, ignore_errors=True)
        copied.rename(home / EARLIER)
    document = {"source": earlier.source, "schema": earlier.schema.to_json(), "numbering": earlier.numbering}
    write_json(home / FILE, document)  # last: what it says is there


def read_numbered_as(home: Path) -> NumberedAs | None:
    """How the data folder's log is to be numbered; None for one that is numbered by itself."""
    path = home / FILE
    if not path.exists():
        return None
    document = read_json(path)
    return NumberedAs(document["source"], Schema.from_json(document["schema"], str(path)), document["numbering"])


def schema_as(earlier: NumberedAs, config: DataConfig) -> Schema:
    """The earlier log's columns and tables, laid out as data.schema (or a schema.json beside the files) says of the
    newer one. Raises ValueError for settings that would be ignored, and for columns of another kind."""
    if config.numbering != "auto":
        raise ValueError(
            f"data.numbering is {config.numbering}, but the log is numbered as that of {earlier.source}; leave it out"
        )
    if config.min_count != 1 and not earlier.vocabulary_columns:
        raise ValueError(
            f"data.min_count is {config.min_count}, but the log is numbered as that of {earlier.source}, without a "
            "vocabulary that new values could be added to; leave it out"
        )
    if earlier.schema.with_max_rows(config.max_table_rows) != earlier.schema:
        largest = max(earlier.schema.table_sizes)
        raise ValueError(
            f"data.max_table_rows is {config.max_table_rows}, but the model of {earlier.source} has tables of up to "
            f"{largest} rows; give --data.max-table-rows {largest}, or more"
        )
    beside = f"{config.path.rstrip('/')}/schema.json"
    source = config.schema or (beside if path_manager().isfile(beside) else "")
    if not source:
        return earlier.schema
    own = Schema.load(source)
    return dataclasses.replace(laid_out(earlier.schema, own, source, earlier.source), timestamp=own.timestamp)


def laid_out(model: Schema, own: Schema, source: str, whose: str) -> Schema:
    """A model's columns, laid out as a log of its own schema has them; `source` is that schema's, `whose` the model's
    name in messages. Raises ValueError for a column that is of another kind to the model."""
    for column in (*model.numbers, *model.categories):
        found, wanted = role(own, column), role(model, column)
        if found != wanted:
            raise ValueError(f"schema {source!r}: column {column!r} is {found}, and {wanted} to the model {whose}")
    layout = {"label": own.label, "columns": own.columns, "delimiter": own.delimiter, "count_label": own.count_label}
    layout |= {"weight": own.weight}
    layout |= {"list_separator": own.list_separator} if model.lists else {}
    return dataclasses.replace(model, name=own.name, **layout)  # type: ignore[arg-type]


def role(schema: Schema, column: str) -> str:
    """What a column is, in words."""
    if column in schema.numbers:
        return "a decimal number" if column in schema.floats else "a whole number"
    if column not in schema.categories:
        return "absent"
    kinds = {"a category of whole numbers": schema.integer_ids, "a category of times": schema.hours}
    if column in schema.lists:
        return "lists of whole numbers" if column in schema.integer_ids else "lists of text"
    return next((kind for kind, columns in kinds.items() if column in columns), "a category of text")


def check_tables(earlier: NumberedAs, schema: Schema, numbering: dict[str, Any]) -> None:
    """Raise ValueError unless a log that was opened has the tables of the earlier one."""
    if earlier.numbering["kind"] != numbering["kind"]:
        raise ValueError(
            f"the log is numbered by {numbering['kind']}, and that of {earlier.source} by {earlier.numbering['kind']}; "
            "give the raw log, or prepare it as the earlier one"
        )
    for role_name in ("integers", "floats", "categories", "table_sizes", "lists", "id_places"):
        found, wanted = getattr(schema, role_name), getattr(earlier.schema, role_name)
        if found != wanted:
            raise ValueError(
                f"the log has {role_name} {list(found)}, and that of {earlier.source} {list(wanted)}; give a log of "
                "the same columns, and the same data.max_table_rows"
            )
