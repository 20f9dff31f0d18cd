"""The report's tables as values, and those of the chip and of time: Pareto points, operators, presets, stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.report.drawing.style import KIND_TITLES
from pipeline.report.words import difference, ratio, significant
from pipeline.run.records.codesign import Codesign, MappedPoint
from pipeline.run.records.progress import StageTiming

SHOWN_MAPPINGS = 12
"""A Pareto set of more points is shown by so many of them, and whole on request."""
ABSENT = "–"
"""In the place of what does not exist."""


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
    texts: frozenset[int] = frozenset()
    """Columns of words, which may be broken into lines; the first column is none of them."""

    @property
    def narrow(self) -> bool:
        """Whether two of it stand side by side."""
        return len(self.heads) <= 4


def optional(value: float | None, form: str) -> str:
    """A number in the format, a dash where there is none."""
    return ABSENT if value is None else format(value, form)


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
    """The naive mapping, the hand-made models', and Pareto points spread over the energies with the chosen one."""
    rows = [_mapping_row("naive W8A8", codesign.naive, codesign, "naive", "")]
    for one in codesign.handmade:
        rows.append(_mapping_row(f"{one.title}, W8A8", one.point, codesign, "handmade", KIND_TITLES["handmade"]))
        if one.chosen is not None:
            rows.append(
                _mapping_row(f"{one.title}, by search", one.chosen, codesign, "handmade", KIND_TITLES["handmade"])
            )
    points, chosen = _by_energy(codesign), codesign.chosen
    caption = (
        f"All on the {codesign.preset} constants. “Against float” compares with the same model in floating point on "
        "the same rows; a hand-made model's own floating-point loss is not known here. Hand-made models are "
        "mapped by the same search, and the same rule chooses."
    )
    if codesign.limits:
        words = ", ".join(f"{name.replace('_', ' ')} {limit:g}" for name, limit in codesign.limits.items())
        caption += f" Chosen and Pareto mappings are within the limits {words}."
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
    if point.log_loss is not None and kind != "handmade":
        lost = difference(point.log_loss - codesign.float_log_loss)
    cells = (
        title,
        optional(point.log_loss, ".5f"),
        lost or ABSENT,
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
        return ABSENT
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


def codesign_tables(codesign: Codesign) -> list[Table]:
    """The tables of the mappings and of the chip, those without rows left out."""
    tables = (mappings_table, pareto_table, hardware_table, presets_table, operators_table)
    return [table for table in (make(codesign) for make in tables) if table.rows]
