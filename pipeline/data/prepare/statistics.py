"""What is known of each column after one pass: rows, clicks, missing values, smallest and largest; added up over files.

Everything here is a small JSON value, so that a file's part can wait on the disk for the others.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.data.prepare.vocabulary import OUT_OF_VOCABULARY_ROW
from pipeline.data.schema import Schema

ColumnStatistics = dict[str, Any]
"""`missing`: rows without a value; `min`, `max`: of the raw values, None without any; for categories numbered by a
vocabulary `out_of_vocabulary`: rows with a value outside it. Of lists also `values`: all that are kept; `longest`: the
most of one row; `cut`: rows that had more than a list keeps."""


def column_statistics(raw: pa.Array, rows: npt.NDArray[np.int32] | None = None) -> ColumnStatistics:
    """Of a block's raw column, and of its table rows where a vocabulary gave them. `min`, `max`: of finite numbers.

    >>> column_statistics(pa.array([5, None, -1]))
    {'missing': 1, 'min': -1, 'max': 5}
    """
    missing = raw.null_count
    if pt.is_floating(raw.type):
        missing += pc.sum(pc.is_nan(raw)).as_py() or 0  # as missing as a null
        raw = raw.filter(pc.is_finite(raw))
    found: ColumnStatistics = {"missing": missing, **pc.min_max(raw).as_py()}
    if rows is not None:
        found["out_of_vocabulary"] = int((rows == OUT_OF_VOCABULARY_ROW).sum())
    return found


def list_statistics(
    values: pa.Array, ids: npt.NDArray[np.int32], cut_rows: int, has_vocabulary: bool
) -> ColumnStatistics:
    """Of a block's lists: the values that they keep [m], their table rows [L, n], and how many had more values.

    >>> list_statistics(pa.array([5, 7]), np.array([[2, 0], [1, -1]], np.int32), 0, has_vocabulary=True)
    {'missing': 1, 'min': 5, 'max': 7, 'values': 2, 'longest': 2, 'cut': 0, 'out_of_vocabulary': 1}
    """
    lengths = (ids > 0).sum(axis=0)
    found: ColumnStatistics = {"missing": int((lengths == 0).sum()), **pc.min_max(values).as_py()}
    found |= {"values": int(lengths.sum()), "longest": int(lengths.max(initial=0)), "cut": cut_rows}
    if has_vocabulary:
        found["out_of_vocabulary"] = int((ids == OUT_OF_VOCABULARY_ROW).any(axis=0).sum())
    return found


def add_up(parts: Iterable[ColumnStatistics]) -> ColumnStatistics:
    """Of all the parts' rows together.

    >>> add_up([{"missing": 1, "min": -1, "max": 5}, {"missing": 2, "min": None, "max": None}])
    {'missing': 3, 'min': -1, 'max': 5}
    """
    parts = list(parts)
    total: ColumnStatistics = {}
    for key in parts[0]:
        values = [part[key] for part in parts if part[key] is not None]
        match key:
            case "min":
                total[key] = min(values, default=None)
            case "max" | "longest":
                total[key] = max(values, default=None)
            case _:
                total[key] = sum(values)
    return total


def summary(
    schema: Schema, parts: list[dict[str, Any]], distinct: dict[str, int], seen: dict[str, int]
) -> dict[str, Any]:
    """statistics.json: of the whole click log.

    `distinct` counts what the model can tell apart: dense inputs, and table rows other than that of missing. `seen`,
    known where a vocabulary numbers the categories, counts the values in the click log.
    """
    rows = sum(part["rows"] for part in parts)
    columns = {}
    for name in (*schema.numbers, *schema.categories):
        total = add_up(part["columns"][name] for part in parts)
        shares_of = ("missing", "out_of_vocabulary", "cut")
        shares = {f"{key}_share": total.pop(key) / rows for key in shares_of if key in total}
        if "values" in total:
            shares["mean_values"] = total.pop("values") / rows
        columns[name] = {**shares, **total, "distinct": distinct[name]}
        if name in seen:
            columns[name]["distinct_values_seen"] = seen[name]
    for name, size in zip(schema.categories, schema.table_sizes, strict=True):
        columns[name]["table_rows"] = size
    clicks = sum(part["clicks"] for part in parts)
    return {"rows": rows, "label_ratio": clicks / rows, "columns": columns}
