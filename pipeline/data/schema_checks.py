"""The checks of a schema that are not about one field alone: types, and what lists need.

Every message names the field, the value found and what to do.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.data.schema import Schema

MAX_LIST_VALUES = 4096
"""No list keeps more: decoded rows are of one size, 16 KiB of which would then be one list's."""


def check_lists(schema: "Schema") -> None:
    """The checks of the fields on lists."""
    if not schema.lists:
        for name, default in (("list_separator", "|"), ("max_list_values", ())):
            if getattr(schema, name) != default:
                raise ValueError(
                    f"schema.{name} is {getattr(schema, name)!r}, but schema.lists is empty; name the lists"
                )
        return
    for reason, columns in (
        ("are not among schema.categories", set(schema.lists) - set(schema.categories)),
        ("are in schema.hours too, and a list holds no hours", set(schema.lists) & set(schema.hours)),
        ("are the schema.timestamp too, and a row has one time", set(schema.lists) & {schema.timestamp}),
        ("occur more than once", {name for name in schema.lists if schema.lists.count(name) > 1}),
    ):
        if columns:
            raise ValueError(f"schema.lists: {sorted(columns)} {reason}")
    taken = {
        schema.delimiter,
        "\n",
        "\r",
        "\0",
        '"',
        *("+-0123456789" if set(schema.lists) & set(schema.integer_ids) else ""),
    }
    if len(schema.list_separator) != 1 or schema.list_separator in taken:
        raise ValueError(
            f"schema.list_separator is {schema.list_separator!r}; give one character that is neither the delimiter "
            "nor part of a value"
        )
    if schema.max_list_values and len(schema.max_list_values) != len(schema.lists):
        raise ValueError(
            f"schema.max_list_values has {len(schema.max_list_values)} entries for {len(schema.lists)} lists; give "
            "one number a list, or leave it out"
        )
    for column, most in zip(schema.lists, schema.max_list_values, strict=False):
        if not 1 <= most <= MAX_LIST_VALUES:
            raise ValueError(f"schema.max_list_values of {column!r} is {most}; use 1 to {MAX_LIST_VALUES}")


def check_type(name: str, value: Any, annotation: Any) -> None:
    """Holds JSON to the annotation of the field; the message names the field."""
    if annotation is bool or annotation is str:
        good = isinstance(value, annotation)
    else:
        kind = int if annotation == tuple[int, ...] else str
        good = isinstance(value, tuple) and all(isinstance(item, kind) and not isinstance(item, bool) for item in value)
    if not good:
        raise ValueError(f"schema.{name} is {value!r}; expected {getattr(annotation, '__name__', annotation)}")
