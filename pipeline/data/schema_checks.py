"""The checks of a schema that are not about one field alone: types, and what lists need.

Every message names the field, the value found and what to do.
"""

from collections.abc import Collection, Sequence
from typing import Any

MAX_LIST_VALUES = 4096
"""No list keeps more: decoded rows are of one size, 16 KiB of which would then be one list's."""
NO_SEPARATORS, PARTS_OF_NUMBERS = '\n\r\0"', "+-0123456789"
"""Characters that cannot stand between the values of a list."""


def check_lists(
    lists: Sequence[str], separator: str, most: Sequence[int], categories: Sequence[str], whole: Collection[str]
) -> None:
    """The fields `lists`, `list_separator` and `max_list_values`; `whole`: the categories of whole numbers."""
    if not lists:
        for name, value, default in (("list_separator", separator, "|"), ("max_list_values", most, ())):
            if value != default:
                raise ValueError(f"schema.{name} is {value!r}, but schema.lists is empty; name the lists")
        return
    strangers = sorted(set(lists) - set(categories))
    if strangers:
        raise ValueError(f"schema.lists: {strangers} are not among schema.categories")
    if twice := sorted({name for name in lists if lists.count(name) > 1}):
        raise ValueError(f"schema.lists: {twice} occur more than once")
    taken = [*NO_SEPARATORS, *(PARTS_OF_NUMBERS if set(lists) & set(whole) else "")]
    if len(separator) != 1 or separator in taken:
        raise ValueError(
            f"schema.list_separator is {separator!r}; give one character that is neither a quotation mark, the end of "
            "a line, nor part of a whole number in a list of such"
        )
    if most and len(most) != len(lists):
        raise ValueError(
            f"schema.max_list_values has {len(most)} entries for {len(lists)} lists; give one number a list, or leave "
            "it out"
        )
    for column, values in zip(lists, most, strict=False):
        if not 1 <= values <= MAX_LIST_VALUES:
            raise ValueError(f"schema.max_list_values of {column!r} is {values}; use 1 to {MAX_LIST_VALUES}")


def check_type(name: str, value: Any, annotation: Any) -> None:
    """Holds JSON to the annotation of the field; the message names the field."""
    if annotation is bool or annotation is str:
        good = isinstance(value, annotation)
    else:
        kind = int if annotation == tuple[int, ...] else str
        good = isinstance(value, tuple) and all(isinstance(item, kind) and not isinstance(item, bool) for item in value)
    if not good:
        raise ValueError(f"schema.{name} is {value!r}; expected {getattr(annotation, '__name__', annotation)}")
