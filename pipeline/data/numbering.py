"""How raw values become rows of the tables, as data: a server must number its requests as training numbered its log."""

from typing import Any

from pipeline.data.formats.features import HASHING
from pipeline.data.formats.lists import LIST_RULE
from pipeline.data.formats.prepared import OUT_OF_VOCABULARY_ROW, Prepared, file_name
from pipeline.data.schema import Schema

FOLD = "in a table of fewer rows than table_sizes says: 0 stays 0, any other row is 1 + (row - 1) mod (rows - 1)"
"""What streams do with a prepared click log under a smaller --data.max_table_rows."""


def numbering(schema: Schema, prepared: Prepared | None, folder: str) -> dict[str, Any]:
    """The rules for a click log: raw (None), or prepared in `folder` by hashing or by a vocabulary.

    `schema` has the sizes of the model's tables; `table_sizes` here are those that the rules number into.
    """
    made = prepared.schema if prepared is not None else schema
    sizes = dict(zip(made.categories, made.table_sizes, strict=True))
    rules: dict[str, Any] = {"kind": "hash", "table_sizes": sizes, **HASHING, **_list_rule(made), "fold": FOLD}
    if prepared is None or prepared.details.get("numbering", "hash") == "hash":
        return rules
    return vocabulary_numbering(made, folder, made.categories)


def vocabulary_numbering(made: Schema, folder: str, columns: tuple[str, ...]) -> dict[str, Any]:
    """The rules where the vocabularies of some categories lie in `folder`; `made` has the sizes they number into.

    The folder is absolute, a store's, or relative to the run's (where model.json lies).

    The others are whole numbers, by modulo.
    """
    others = {} if columns == made.categories else {key: HASHING[key] for key in ("integer_id_row", "hour_row")}
    return {
        "kind": "vocabulary",
        "table_sizes": dict(zip(made.categories, made.table_sizes, strict=True)),
        "integer": HASHING["integer"],
        "float": HASHING["float"],
        "missing_category_row": HASHING["missing_category_row"],
        "unknown_category_row": OUT_OF_VOCABULARY_ROW,
        "vocabulary_row": "the row beside the value in the column's file; of an hour column YYMMDDHH the value mod 100",
        "vocabulary_files": {
            column: f"{folder.rstrip('/')}/vocabulary/{file_name(column)}.parquet" for column in columns
        },
        **others,
        **_list_rule(made),
        "fold": FOLD,
    }


def _list_rule(schema: Schema) -> dict[str, str]:
    """Where there are lists."""
    return {"list": LIST_RULE} if schema.lists else {}
