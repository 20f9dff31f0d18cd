"""Raw rows of a click log → what model.pt takes. A copy of this file lies beside every exported model; it needs nothing
but Python (not this project, not torch, not numpy).

    import torch
    from raw_rows import RawRows

    rows, model = RawRows.load("model.json"), torch.jit.load("model.pt")
    dense, ids, errors = rows.encode_all([{"price": 3, "user": "u17"}])
    probability = model(torch.tensor(dense), torch.tensor(ids))  # [B]; that of a row in `errors` means nothing

The rules stand in model.json (numbering), and are written out here once more, since this file has to stand alone; tests
hold it to training's own (pipeline/data/formats/ in the project). vocabulary.bin beside it holds the
vocabularies of the columns that have one. A row's values are numbers, text, or None where they are missing; text may
also hold a number. The value of a column of lists is a list of such values, or text with the schema's list_separator
between them. Whatever else is in a row is an error of that row.

B rows, I dense inputs, F fields, C columns of ids: F without lists, which have several.
"""

import bisect
import csv
import json
import math
import mmap
import re
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

MISSING_NUMBER = -1.0
LARGEST = 3.4028234663852886e38
"""The largest float32."""
SHOWN = 40
"""Characters of a value that an error shows."""
_INTEGER = re.compile(r"\s*[+-]?\d{1,20}\s*", re.ASCII)
_DECIMAL = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|inf|infinity)\s*", re.ASCII | re.IGNORECASE)
_LENGTH_FACTOR, _MASK = 0x9E3779B97F4A7C15, 2**64 - 1
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class RowError(ValueError):
    """What is wrong with a row."""


class RawRows:
    """The encoder of one exported model."""

    @classmethod
    def load(cls, path: "str | Path") -> "RawRows":
        """The encoder of a model.json. Raises ValueError where the files beside it are not those that it describes."""
        return cls(json.loads(Path(path).read_text(encoding="utf-8")), Path(path).parent)

    def __init__(self, document: Mapping[str, Any], folder: Path) -> None:
        """`document`: what model.json holds; `folder`: where it lies."""
        self._schema, self._numbering = document["schema"], document["numbering"]
        self._integers, self._floats = list(self._schema["integers"]), list(self._schema["floats"])
        self._categories = list(self._schema["categories"])
        self._table_rows = dict(zip(self._categories, document["inputs"][1]["table_rows"], strict=True))
        self._lists = set(self._schema.get("lists", ()))
        self._places: list[int] = document["inputs"][1].get("places", [1] * len(self._categories))
        self._whole_numbers = {*self._schema["integer_ids"], *self._schema["hours"]}
        self._hours = set(self._schema["hours"])
        self._vocabularies = _vocabularies(folder, document["raw_rows"])

    @property
    def columns(self) -> list[str]:
        """The columns that a row is made of."""
        return [*self._integers, *self._floats, *self._categories]

    def encode(self, row: Mapping[str, Any]) -> tuple[list[float], list[int]]:
        """Dense inputs [I] (1 without numbers) and table rows [C] of one row, given by column; others are ignored.

        A list keeps as many values as it has columns of ids, the first ones; -1 where it has fewer. Raises RowError
        with the column, the value and what was expected.
        """
        if not isinstance(row, Mapping):
            raise RowError(f"found {_shown(row)}; expected the row's values by column")
        for column in self.columns:
            if column not in row:
                raise RowError(f"column {column!r} is absent; give null where the value is missing")
        dense = [_integer_feature(column, row[column]) for column in self._integers]
        dense += [_float_feature(column, row[column]) for column in self._floats]
        ids = list[int]()
        for column, places in zip(self._categories, self._places, strict=True):
            if column in self._lists:
                ids += self._list_rows(column, row[column], places)
            else:
                ids.append(self._table_row(column, row[column]))
        return dense or [1.0], ids

    def encode_all(
        self, rows: Iterable[Mapping[str, Any]]
    ) -> tuple[list[list[float]], list[list[int]], dict[int, str]]:
        """Dense inputs [B, I] and table rows [B, C] of many rows, and the errors by row number; such a row has nothing
        but zeros."""
        dense, ids, errors = list[list[float]](), list[list[int]](), dict[int, str]()
        for number, row in enumerate(rows):
            try:
                numbers, found = self.encode(row)
            except RowError as error:
                errors[number] = str(error)
                numbers = [0.0] * max(1, len(self._integers) + len(self._floats))
                found = [0 if place == 0 else -1 for places in self._places for place in range(places)]
            dense.append(numbers)
            ids.append(found)
        return dense, ids, errors

    def parse(self, line: "str | bytes", columns: Sequence[str] = ()) -> dict[str, str]:
        """A line of raw text as a row. `columns`: the file's header, where it has one.

        A line may lack the label, or all columns that no model reads: the label, a timestamp that is no input, and the
        weight of a row.

        Raises RowError for a line with another number of columns, or that is not UTF-8.
        """
        names = list(columns or self._schema["columns"])
        if not names:
            raise ValueError("columns are needed: the files of this log name theirs in a header")
        try:
            text = line.decode("utf-8") if isinstance(line, bytes) else line
            fields = _fields(text.rstrip("\r\n"), self._schema["delimiter"])
        except (UnicodeDecodeError, csv.Error) as error:
            raise RowError(f"the line cannot be read: {error}") from error
        if len(fields) == len(names) - 1 and self._schema["label"] in names:
            names.remove(self._schema["label"])
        unused = {self._schema["label"], self._schema.get("timestamp"), self._schema.get("weight")} - {"", None}
        unused -= set(self.columns)
        if len(fields) == len(names) - len(unused) and unused <= set(names):
            names = [name for name in names if name not in unused]
        if len(fields) != len(names):
            raise RowError(f"found {len(fields)} columns, expected {len(names)}")
        return dict(zip(names, fields, strict=True))

    def _list_rows(self, column: str, value: Any, places: int) -> list[int]:
        """The rows of a list's first values, in as many places; null and empty values are none."""
        found = list[int]()
        for one in self._list_values(column, value):
            if len(found) == places:
                break
            if row := self._table_row(column, one):
                found.append(row)
        return (found or [0]) + [-1] * (places - max(len(found), 1))

    def _list_values(self, column: str, value: Any) -> Sequence[Any]:
        if value is None:
            return ()
        if isinstance(value, str | bytes):
            return _text(column, value).decode("utf-8").split(self._schema["list_separator"])
        if isinstance(value, list | tuple):
            return value
        raise _wrong(column, value, "a list of values, text of them, or nothing")

    def _table_row(self, column: str, value: Any) -> int:
        """The row of a value's embedding."""
        if column in self._whole_numbers:
            number = _whole_number(column, value)
            if number is None:
                return 0
            number = number % 100 if column in self._hours else number
            key, hashed = number & _MASK, number
        else:
            contents = _text(column, value)
            if not contents:
                return 0
            key = hashed = text_hash(contents)
        rows, wanted = self._table_rows[column], self._numbering["table_sizes"][column]
        if column in self._vocabularies:
            keys, places = self._vocabularies[column]
            place = bisect.bisect_left(keys, key)
            is_known = place < len(keys) and keys[place] == key
            found = int(places[place]) if is_known else int(self._numbering["unknown_category_row"])
        else:
            found = 1 + hashed % (wanted - 1)
        return found if rows >= wanted or not found else 1 + (found - 1) % (rows - 1)


def text_hash(contents: bytes) -> int:
    """The 64-bit hash of a text's UTF-8 bytes (numbering.text_hash in model.json says it in words).

    >>> text_hash(b"68fd1e64"), text_hash(b"a")
    (11449356412927661723, 18119689086777206668)
    """
    found = len(contents) * _LENGTH_FACTOR & _MASK
    for start in range(0, len(contents), 8):
        z = found ^ int.from_bytes(contents[start : start + 8], "little")
        z = (z ^ z >> 30) * _MIX_1 & _MASK
        z = (z ^ z >> 27) * _MIX_2 & _MASK
        found = z ^ z >> 31
    return found


def _vocabularies(folder: Path, described: Mapping[str, Any]) -> dict[str, tuple[Sequence[int], Sequence[int]]]:
    """Column → its values' keys in ascending order, and the row of each; mapped into memory, not read."""
    counts: dict[str, int] = described["vocabulary_values"]
    if not described["vocabulary"]:
        return {}
    if sys.byteorder != "little":
        raise ValueError("vocabulary.bin holds little-endian numbers, which this machine does not map")
    path, expected = folder / described["vocabulary"]["file"], 12 * sum(counts.values())
    if path.stat().st_size != described["vocabulary"]["bytes"] or path.stat().st_size != expected:
        raise ValueError(f"{path} is not the file that model.json describes; export the model again")
    if not expected:
        return dict.fromkeys(counts, ((), ()))
    with path.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    found, start = dict[str, tuple[Sequence[int], Sequence[int]]](), 0
    for column, count in counts.items():
        middle, end = start + 8 * count, start + 12 * count
        found[column] = (view[start:middle].cast("Q"), view[middle:end].cast("i"))
        start = end
    return found


def _fields(line: str, delimiter: str) -> list[str]:
    if delimiter == ",":  # such files may quote
        return next(csv.reader([line]), [""])
    return line.split(delimiter)


def _integer_feature(column: str, value: Any) -> float:
    """log(max(x, 0) + 1) in float32."""
    if isinstance(value, float):
        number: float | None = None if math.isnan(value) else value
    else:
        number = _whole_number(column, value)
    if number is None:
        return MISSING_NUMBER
    return _float32(math.log(_float32(_float32(min(max(number, 0), LARGEST)) + 1.0)))


def _float_feature(column: str, value: Any) -> float:
    """sign(x) log(|x| + 1) in float32."""
    if isinstance(value, str):
        if value and not _DECIMAL.fullmatch(value):
            raise _wrong(column, value, "a number or nothing")
        value = float(value) if value else None
    if value is None:
        return MISSING_NUMBER
    if not isinstance(value, int | float):
        raise _wrong(column, value, "a number or nothing")
    number = float(min(max(value, -LARGEST), LARGEST)) if value == value else math.nan
    if math.isnan(number):
        return MISSING_NUMBER
    return _float32(math.copysign(math.log1p(abs(number)), number))


def _whole_number(column: str, value: Any) -> "int | None":
    """A whole number of 64 bits; None where it is missing."""
    if value is None or value == "":
        return None
    number = value
    if isinstance(value, str):
        number = int(value) if _INTEGER.fullmatch(value) else None
    elif isinstance(value, float):
        if math.isnan(value):
            return None
        number = int(value) if value.is_integer() else None
    if not isinstance(number, int) or not -(2**63) <= number < 2**64:
        raise _wrong(column, value, "a whole number of 64 bits or nothing")
    return int(number)


def _text(column: str, value: Any) -> bytes:
    """A text's UTF-8 bytes; none where it is missing."""
    if value is None:
        return b""
    try:
        if isinstance(value, bytes):
            value.decode("utf-8")
            return value
        if isinstance(value, str):
            return value.encode("utf-8")
    except UnicodeError as error:
        raise _wrong(column, value, "UTF-8 text or nothing") from error
    raise _wrong(column, value, "text or nothing")


def _float32(x: float) -> float:
    found: float = struct.unpack("<f", struct.pack("<f", x))[0]
    return found


def _wrong(column: str, value: Any, expected: str) -> RowError:
    return RowError(f"column {column!r}: found {_shown(value)}, expected {expected}")


def _shown(value: Any) -> str:
    """The beginning of a value, whatever it is."""
    if isinstance(value, str | bytes):
        value = value[: SHOWN + 1]
    elif isinstance(value, int) and not -(2**127) <= value < 2**127:
        return f"a whole number of {value.bit_length()} bits"
    elif not isinstance(value, int | float | None):
        return f"a value of type {type(value).__name__}"
    text = ascii(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
