"""raw_rows.py made fast for a server: what a column's frequent values become is remembered.

Encoding a row of Criteo's columns takes about 100 µs of plain Python; most of its values were met before, and a value
that was is one look into a dictionary.

I dense inputs, C columns of ids.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.serving.raw_rows import RawRows, _float_feature, _integer_feature

MOST_VALUES = 50_000
"""Values of a column that are remembered; when there are more, all are forgotten."""
LONGEST_VALUE = 64
"""Characters of a text up to which it is remembered."""


class Remembered(dict[Any, Any]):
    """Value → what it becomes, of one column. Values that are equal, such as 1, 1.0 and true, become the same."""

    def __init__(self, encode: Callable[[Any], Any]) -> None:
        """`encode` is asked for what is not there; its errors are raised, and not remembered."""
        super().__init__()
        self._encode = encode

    def __missing__(self, value: Any) -> Any:
        found = self._encode(value)
        if not isinstance(value, str) or len(value) <= LONGEST_VALUE:
            if len(self) >= MOST_VALUES:
                self.clear()
            self[value] = found
        return found


class RememberedRows:
    """An encoder that gives what `RawRows.encode` gives."""

    def __init__(self, rows: RawRows) -> None:
        self._rows = rows
        features = [(column, functools.partial(_integer_feature, column)) for column in rows._integers]
        features += [(column, functools.partial(_float_feature, column)) for column in rows._floats]
        self._numbers = [(column, Remembered(encode)) for column, encode in features]
        self._categories = [
            (column, Remembered(functools.partial(rows._table_row, column))) for column in rows._categories
        ]
        self._places = list(zip(rows._categories, rows._places, strict=True)) if rows._lists else []

    def encode(self, row: Mapping[str, Any]) -> tuple[list[float], list[int]]:
        """Dense inputs [I] (1 without numbers) and table rows [C] of one row; errors as there."""
        try:
            dense = [known[row[column]] for column, known in self._numbers]
            if self._places:
                ids = self._with_lists(row)
            else:
                ids = [known[row[column]] for column, known in self._categories]
        except (KeyError, TypeError):  # no row, a column that is absent, or a value that cannot be looked up
            return self._rows.encode(row)
        return dense or [1.0], ids

    def _with_lists(self, row: Mapping[str, Any]) -> list[int]:
        """Table rows [C] of a row with lists, which are encoded each time."""
        ids = list[int]()
        for (column, places), (_, known) in zip(self._places, self._categories, strict=True):
            if column in self._rows._lists:
                ids += self._rows._list_rows(column, row[column], places)
            else:
                ids.append(known[row[column]])
        return ids
