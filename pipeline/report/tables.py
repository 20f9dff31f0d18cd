"""The report's tables: models, Pareto points, the chosen mapping's operators and chip, presets, stages."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.words import best_baseline, difference, millions, ratio, significant
from pipeline.run.records.codesign import Codesign, MappedPoint
from pipeline.run.records.progress import StageTiming
from pipeline.run.records.results import ModelResult, Results

SHOWN_MAPPINGS = 12
"""A Pareto set of more points is shown by so many of them, and whole on request."""
_ABSENT = "–"


@dataclass(frozen=True)
class Row:
    """A line: cells, a class for its look, a tag beside the first cell, and which cells are best of their column."""

    cells: tuple[str, ...]
    kind: str = ""
    tag: str = ""
    best: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Table:
    """A table with its anchor `name`."""

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    folded: bool = False
    """Shown only on request."""

    @property
    def narrow(self) -> bool:
        """Whether two of it stand side by side."""
        return len(self.heads) <= 4


_MODEL_COLUMNS: tuple[
    tuple[str, Callable[[ModelResult, ModelResult | None], str], Callable[[ModelResult], float]], ...
] = (
    ("test log loss", lambda model, _: f"{model.test.log_loss:.5f}", lambda model: model.test.log_loss),
    ("against best baseline", lambda model, baseline: _against(model, baseline), lambda _: math.inf),
    (
        "AUC",
        lambda model, _: _optional(model.test.auc, ".5f"),
        lambda model: math.inf if model.test.auc is None else -model.test.auc,
    ),
    (
        "normalized entropy",
        lambda model, _: _optional(model.test.normalized_entropy, ".5f"),
        lambda model: math.inf if model.test.normalized_entropy is None else model.test.normalized_entropy,
    ),
    (
        "calibration",
        lambda model, _: _optional(model.test.calibration, ".4f"),
        lambda model: math.inf if model.test.calibration is None else abs(model.test.calibration - 1),
    ),
    ("MMACs", lambda model, _: millions(model.multiply_accumulates), lambda model: model.multiply_accumulates),
    ("parameters", lambda model, _: f"{model.parameters:,}", lambda model: model.parameters),
    ("valid log loss", lambda model, _: f"{model.valid.log_loss:.5f}", lambda model: model.valid.log_loss),
    ("supernet score", lambda model, _: _optional(model.supernet_score, ".5f"), lambda _: math.inf),
)
"""The models' table: heading, text (of a model beside the best baseline), a key that is least for the best model."""


def models_table(results: Results) -> Table:
    """Every retrained model and baseline on the test rows, best test log loss first."""
    models = sorted(results.models, key=lambda model: model.test.log_loss)
    baseline = best_baseline(results)
    keys = [key for _, _, key in _MODEL_COLUMNS]
    best = [min(map(key, models)) if len(models) > 1 else math.inf for key in keys]
    rows = []
    for model in models:
        cells = (model.title, *(text(model, baseline) for _, text, _ in _MODEL_COLUMNS))
        winning = {column for column, key in enumerate(keys, start=1) if key(model) == best[column - 1] < math.inf}
        rows.append(Row(cells, model.kind, model.kind, frozenset(winning)))
    caption = (
        "MMACs: million multiply-accumulates per row, embeddings not counted; what the field publishes as “MFLOPs” are "
        "these. Parameters: the dense part, embedding tables not counted. Calibration: predicted clicks over clicks. "
        "Blue: best of the column."
    )
    heads = ("model", *(head for head, _, _ in _MODEL_COLUMNS))
    return Table("models", "Models", heads, tuple(rows), caption)


def _against(model: ModelResult, baseline: ModelResult | None) -> str:
    return (
        _ABSENT if baseline is None or model is baseline else difference(model.test.log_loss - baseline.test.log_loss)
    )


def _optional(value: float | None, form: str) -> str:
    return _ABSENT if value is None else format(value, form)


_MAPPING_HEADS = (
    "mapping",
    "log loss",
    "against float",
    "energy nJ",
    "latency µs",
    "rows/s",
    "area mm²",
    "embeddings mm²",
    "power W",
    "utilization",
)


def mappings_table(codesign: Codesign) -> Table:
    """The naive mapping, the baselines', and Pareto points spread over the energies, the chosen one among them."""
    rows = [_mapping_row("naive W8A8", codesign.naive, codesign, "naive", "")]
    for one in codesign.baselines:
        rows.append(_mapping_row(f"{one.title}, W8A8", one.point, codesign, "baseline", "baseline"))
    points, chosen = _by_energy(codesign), codesign.chosen
    caption = (
        f"All on the {codesign.preset} constants. “Against float” compares with the same model in floating point on "
        "the same rows; a baseline's own floating-point loss is not known here."
    )
    if len(points) > SHOWN_MAPPINGS:
        picked = {round(place * (len(points) - 1) / (SHOWN_MAPPINGS - 1)) for place in range(SHOWN_MAPPINGS)}
        caption += f" Of {len(points):,} Pareto points, {SHOWN_MAPPINGS} spread over the energies, and the chosen one."
        points = tuple(point for place, point in enumerate(points) if place in picked or point is chosen)
    rows += [_pareto_row(point, codesign) for point in points]
    return Table("mappings", "ReRAM mappings", _MAPPING_HEADS, tuple(rows), caption)


def pareto_table(codesign: Codesign) -> Table:
    """Every Pareto point, where `mappings_table` has not room for all; else no rows."""
    points = _by_energy(codesign)
    rows = tuple(_pareto_row(point, codesign) for point in points) if len(points) > SHOWN_MAPPINGS else ()
    return Table("pareto-points", f"All {len(points):,} Pareto points", _MAPPING_HEADS, rows, folded=True)


def _by_energy(codesign: Codesign) -> tuple[MappedPoint, ...]:
    return tuple(sorted(codesign.pareto, key=lambda point: point.energy_nj))


def _pareto_row(point: MappedPoint, codesign: Codesign) -> Row:
    tag = "chosen" if point is codesign.chosen else ""
    return _mapping_row(point.label, point, codesign, tag, tag)


def _mapping_row(title: str, point: MappedPoint, codesign: Codesign, kind: str, tag: str) -> Row:
    lost = None
    if point.log_loss is not None and kind != "baseline":
        lost = difference(point.log_loss - codesign.float_log_loss)
    cells = (
        title,
        _optional(point.log_loss, ".5f"),
        lost or _ABSENT,
        significant(point.energy_nj, 4),
        significant(point.latency_us, 4),
        significant(point.throughput_per_s, 4),
        significant(point.area_mm2, 4),
        significant(point.embedding_area_mm2, 4),
        significant(point.power_w),
        f"{point.utilization:.1%}",
    )
    return Row(cells, kind, tag)


def operators_table(codesign: Codesign) -> Table:
    """Bits and replication of each operator of the chosen mapping."""
    chosen = codesign.chosen
    rows = tuple(
        Row((one.name, str(one.weight_bits), str(one.activation_bits), str(one.dup))) for one in chosen.operators
    )
    heads = ("operator", "weight bits", "activation bits", "copies (dup)")
    return Table("operators", f"Operators of the chosen mapping ({chosen.label})", heads, rows)


def hardware_table(codesign: Codesign) -> Table:
    """The chip's options, naive beside chosen."""
    naive, chosen = codesign.naive.hardware, codesign.chosen.hardware
    rows = []
    for key in dict.fromkeys([*naive, *chosen]):
        before, after = _plain(naive.get(key)), _plain(chosen.get(key))
        rows.append(Row((key.replace("_", " "), before, after), "chosen" if before != after else ""))
    changed = any(row.kind for row in rows)
    caption = "Green: what the search changed." if changed else "The chosen mapping keeps the naive one's chip."
    return Table("hardware", "The chip", ("option", "naive", "chosen"), tuple(rows), caption)


def _plain(value: Any) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def presets_table(codesign: Codesign) -> Table:
    """The same naive mapping under each set of published constants: the spread of what is known."""
    points = [(one.preset, one.point) for one in codesign.presets]
    rows = tuple(
        Row((preset, significant(point.energy_nj, 4), significant(point.latency_us, 4), significant(point.area_mm2, 4)))
        for preset, point in points
    )
    energies = [point.energy_nj for _, point in points if point.energy_nj > 0]
    caption = "The naive mapping under each source's constants. Compare mappings within one preset, not across. "
    if len(energies) > 1:
        caption += f"Energies span a factor of {significant(max(energies) / min(energies))}."
    return Table(
        "presets",
        "How far the constants disagree",
        ("preset", "energy nJ", "latency µs", "area mm²"),
        rows,
        caption.strip(),
    )


def timings_table(timings: Mapping[str, StageTiming]) -> Table:
    """Time and memory of each stage."""
    rows = tuple(
        Row((stage, duration(timing.wall_s), duration(timing.cpu_s), significant(timing.peak_gb)))
        for stage, timing in timings.items()
    )
    return Table("timings", "Time and memory", ("stage", "wall clock", "CPU time", "peak memory GB"), rows)


def duration(seconds: float) -> str:
    """Seconds for a person.

    >>> duration(4.25), duration(75), duration(7261)
    ('4.2 s', '1 min 15 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def compared_energy(codesign: Codesign) -> str:
    """The chosen mapping against the naive one, in words."""
    naive, chosen = codesign.naive, codesign.chosen
    return (
        f"{ratio(naive.energy_nj, chosen.energy_nj, 'less', 'more')} energy, "
        f"{ratio(naive.latency_us, chosen.latency_us, 'faster', 'slower')}, "
        f"{ratio(naive.area_mm2, chosen.area_mm2, 'smaller', 'larger')}"
    )


def all_tables(results: Results | None, codesign: Codesign | None) -> Sequence[Table]:
    """The tables of what there is."""
    found = [] if results is None else [models_table(results)]
    if codesign is not None:
        tables = (mappings_table, pareto_table, hardware_table, presets_table, operators_table)
        found += [table for table in (make(codesign) for make in tables) if table.rows]
    return found
