"""Sums over rows by what their columns hold, in memory that does not grow with the log.

A category's values are counted exactly as long as there are not too many; then the rare ones are dropped, and what a
value may have lost by that is known. Numbers are summed in fine bins, 128 for each factor of two of what the model is
given (log(x + 1)), of which quantiles are made in the end. A row of a list belongs to each of its values once.
Shares and means are by the rows' weights, which are 1 where a log has none.

n rows of a piece, L values that a list keeps.
"""

import math
from typing import Any

import numpy
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.data.formats.features import MISSING_INTEGER
from pipeline.data.formats.lists import kept_values
from pipeline.data.prepare.vocabulary import category_values
from pipeline.run.records.evaluation import CategoryField, Group, NumberBin, NumberField, ValueGroup

Floats = npt.NDArray[numpy.float64]
Mask = npt.NDArray[numpy.bool_]

TRACKED_VALUES = 1 << 15
"""Values of a category that are kept when there are twice as many; the most frequent ones of far fewer are shown."""
SHOWN_CHARACTERS = 200
"""Of a value, in the record."""
_SUMS = ("rows", "weights", "clicks", "predictions", "losses", "variances")
_FINE_BINS, _FINE_SHIFT = 1 << 16, 16


def row_sums(
    logits: npt.NDArray[numpy.float32],
    labels: npt.NDArray[numpy.float32],
    weights: npt.NDArray[numpy.float32] | None = None,
) -> Floats:
    """What is summed of each row [6, n]: 1, its weight w, and w times label, probability and log loss, and w² times the
    variance p (1 - p) of its label."""
    x = logits.astype(numpy.float64)
    probability = numpy.exp(-numpy.logaddexp(0.0, -x))
    variance = numpy.exp(-numpy.logaddexp(0.0, -x) - numpy.logaddexp(0.0, x))
    loss = numpy.logaddexp(0.0, numpy.where(labels > 0, -x, x))
    w = numpy.ones(len(x)) if weights is None else weights.astype(numpy.float64)
    return numpy.stack([numpy.ones(len(x)), w, w * labels, w * probability, w * loss, w**2 * variance])


def group_of(sums: Floats, all_weights: float) -> Group | None:
    """The group with these sums [6]; None without rows."""
    rows, weights, clicks, predictions, losses, variances = sums.tolist()
    if rows < 0.5:
        return None
    deviations = (predictions - clicks) / math.sqrt(max(variances, 1e-300))
    return Group(
        round(rows), weights / all_weights, clicks / weights, predictions / weights, losses / weights, deviations
    )


class CategorySums:
    """Sums by the values of one category."""

    def __init__(
        self,
        column: str,
        is_hour: bool,
        has_vocabulary: bool,
        tracked: int = TRACKED_VALUES,
        list_values: int | None = None,
    ) -> None:
        """`is_hour`: of times YYMMDDHH the hour counts; `has_vocabulary`: whether unknown values can be told;
        `list_values`: L, of a column of lists."""
        self._column, self._is_hour, self._has_vocabulary = column, is_hour, has_vocabulary
        self._list_values = list_values
        self._tracked, self._parts, self._held, self._dropped = tracked, list[pa.Table](), 0, 0.0
        self._all, self._missing, self._unknown = (numpy.zeros(len(_SUMS)) for _ in range(3))

    def add(self, values: pa.Array, missing: Mask, unknown: Mask | None, sums: Floats) -> None:
        """Rows: raw values [n], where they are missing [n] and unknown [n] (of lists [L, n]), and what is summed
        [5, n]."""
        self._all += sums.sum(axis=1)
        self._missing += sums @ missing
        if unknown is not None:
            self._unknown += sums @ (unknown if unknown.ndim == 1 else unknown.any(axis=0))
        if self._list_values is not None:
            kept = kept_values(values, self._list_values)
            distinct, codes = _distinct(kept.values, self._is_hour)
            once = numpy.unique(kept.row * len(distinct) + codes, return_index=True)[1]  # a value of a row
            codes, sums = codes[once], sums[:, kept.row[once]]
            unknown = None if unknown is None else unknown[kept.place[once], kept.row[once]]
        else:
            distinct, codes = _distinct(values, self._is_hour)
        size = len(distinct)
        totals = {name: _summed(codes, own, size) for name, own in zip(_SUMS, sums, strict=True)}
        strange = numpy.zeros(size) if unknown is None else _summed(codes, unknown, size)
        held = numpy.flatnonzero(totals["rows"])
        columns = {name: own[held] for name, own in {**totals, "unknown": strange}.items()}
        dropped = numpy.full(len(held), self._dropped)
        self._parts.append(pa.table({"value": distinct.take(pa.array(held)), **columns, "dropped": dropped}))
        self._held += len(held)
        if self._held > 2 * self._tracked:
            self._merge()

    def _merge(self) -> pa.Table:
        """All parts as one, without the rare values where there are too many; the most frequent first."""
        summed = [(name, "sum") for name in (*_SUMS, "unknown")]
        table = pa.concat_tables(self._parts).group_by("value", use_threads=False)
        table = table.aggregate([*summed, ("dropped", "min")])
        table = table.rename_columns([name.removesuffix("_sum").removesuffix("_min") for name in table.column_names])
        table = table.filter(pc.is_valid(table["value"])).sort_by([("rows", "descending"), ("value", "ascending")])
        if len(table) > self._tracked:
            self._dropped += float(table["rows"][self._tracked].as_py())  # what any value may have had and lost now
            table = table.slice(0, self._tracked).combine_chunks()
        self._parts, self._held = [table], len(table)
        return table

    def field(self, shown: int) -> CategoryField:
        """The column with its most frequent values."""
        weights, top = float(self._all[1]), self._merge().slice(0, shown)
        sums = numpy.stack([top[name].to_numpy() for name in _SUMS]) if len(top) else numpy.zeros((len(_SUMS), 0))
        values = []
        for place, one in enumerate(top.to_pylist()):
            group = group_of(sums[:, place], weights)
            assert group is not None, "a value has rows"
            share = one["unknown"] / one["rows"] if self._has_vocabulary else None
            values.append(ValueGroup(_shortened(one["value"]), group, share, round(one["dropped"])))
        rest = self._all - self._missing - sums.sum(axis=1)
        others = group_of(rest, weights) if self._list_values is None else None  # rows of lists are in several groups
        unknown = group_of(self._unknown, weights) if self._has_vocabulary else None
        share = float(self._unknown[1]) / weights if self._has_vocabulary else None
        return CategoryField(self._column, share, unknown, group_of(self._missing, weights), tuple(values), others)


def _distinct(values: pa.Array, is_hour: bool) -> tuple[pa.Array, npt.NDArray[numpy.int64]]:
    """Distinct values as text, null for missing ones last, and the place of each row's among them [n]."""
    encoded = values if pt.is_dictionary(values.type) else values.dictionary_encode()
    kinds = encoded.dictionary
    if is_hour:
        kinds = category_values(kinds, hour=True)
    texts = kinds.cast(pa.string())
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    codes = encoded.indices.cast(pa.int64()).fill_null(len(texts)).to_numpy()
    return pa.concat_arrays([texts, pa.nulls(1, pa.string())]), codes


def _summed(codes: npt.NDArray[numpy.int64], weights: npt.NDArray[Any], size: int) -> Floats:
    """The weights by code; of no codes numpy would give whole numbers."""
    return numpy.bincount(codes, weights, size).astype(numpy.float64)


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


class NumberSums:
    """Sums by the ranges of one numeric column."""

    def __init__(self, column: str, is_float: bool) -> None:
        self._column, self._is_float = column, is_float
        self._sums = numpy.zeros((len(_SUMS), _FINE_BINS))
        self._lowest = numpy.full(_FINE_BINS, numpy.inf, numpy.float32)
        self._highest = numpy.full(_FINE_BINS, -numpy.inf, numpy.float32)
        self._missing = numpy.zeros(len(_SUMS))

    def add(self, features: npt.NDArray[numpy.float32], sums: Floats) -> None:
        """Rows: the model's dense input of this column [n], and what is summed [6, n]."""
        missing = features == MISSING_INTEGER
        self._missing += sums @ missing
        present, sums = features[~missing] + numpy.float32(0), sums[:, ~missing]  # + 0: there is one zero
        keys = _fine_bins(present)
        for own, values in zip(self._sums, sums, strict=True):
            own += numpy.bincount(keys, values, _FINE_BINS)
        numpy.minimum.at(self._lowest, keys, present)
        numpy.maximum.at(self._highest, keys, present)

    def field(self, bins: int) -> NumberField:
        """The column in ranges of about equal weight: a fine bin goes where the middle of its rows does."""
        weights = self._sums[1]
        present = float(weights.sum())
        all_weights = present + float(self._missing[1])
        held = numpy.flatnonzero(weights)
        middles = (numpy.cumsum(weights[held]) - weights[held] / 2) / (present or 1.0)
        places = numpy.minimum((bins * middles).astype(numpy.int64), bins - 1)
        found = []
        for place in numpy.unique(places):
            own = held[places == place]
            group = group_of(self._sums[:, own].sum(axis=1), all_weights)
            assert group is not None, "a fine bin that is held has rows"
            low, high = (
                raw_number(float(end), self._is_float) for end in (self._lowest[own].min(), self._highest[own].max())
            )
            found.append(NumberBin(low, high, group))
        return NumberField(self._column, group_of(self._missing, all_weights), tuple(found))


def _fine_bins(features: npt.NDArray[numpy.float32]) -> npt.NDArray[numpy.int64]:
    """The fine bin of each number [n], ascending with the number: sign, exponent and seven bits of the fraction."""
    bits = features.view(numpy.uint32)
    ordered = numpy.where(bits >> 31, ~bits, bits | numpy.uint32(1 << 31))
    return numpy.asarray(ordered >> _FINE_SHIFT, numpy.int64)


def raw_number(feature: float, is_float: bool) -> float:
    """The number that has become a dense input, to float32's precision.

    >>> raw_number(math.log1p(41), is_float=False), raw_number(-math.log1p(0.5), is_float=True)
    (41.0, -0.5)
    """
    number = math.copysign(math.expm1(abs(feature)), feature)
    return float(f"{number:.6g}") if is_float else float(round(number))
