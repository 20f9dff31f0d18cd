"""The co-design's record, codesign.json, and the one rule for which of its mappings is chosen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LOG_LOSS_TOLERANCE = 0.001
"""Log loss, nats per row, that the chosen mapping may lose against the naive W8A8 one."""


@dataclass(frozen=True)
class OperatorBits:
    """One operator of a mapping."""

    name: str
    """The operator, as in the workload."""
    weight_bits: int
    """Bits of its weights."""
    activation_bits: int
    """Bits of its inputs."""
    dup: int
    """Copies of its arrays."""


@dataclass(frozen=True)
class MappedPoint:
    """A model mapped on a chip: what it costs and loses."""

    label: str
    """What tables call it."""
    log_loss: float | None
    """Validation log loss with quantized weights and activations, nats per row; None where it was not measured."""
    latency_us: float
    """Latency of one row."""
    throughput_per_s: float
    """Rows per second."""
    energy_nj: float
    """Energy per row."""
    area_mm2: float
    """Area, embedding tables not counted."""
    embedding_area_mm2: float
    """Area of the embedding tables."""
    power_w: float
    """Power at that throughput."""
    utilization: float
    """Share of the arrays' cells that hold weights, 0 to 1."""
    arrays: int
    """Crossbar arrays."""
    hardware: dict[str, Any]
    """The chip's options, by name."""
    operators: tuple[OperatorBits, ...]
    """In the order of the workload."""
    energy_breakdown_nj: dict[str, float]
    """Energy per row, by part of the chip."""
    area_breakdown_mm2: dict[str, float]
    """Area, by part of the chip."""


@dataclass(frozen=True)
class PresetPoint:
    """The naive mapping on one preset's chip."""

    preset: str
    """Whose constants."""
    point: MappedPoint
    """What it costs there."""


@dataclass(frozen=True)
class HandmadePoint:
    """A hand-made model, mapped naively and by the search that the best model has."""

    name: str
    """Its name in results.json."""
    title: str
    """What tables and pictures call it."""
    point: MappedPoint
    """What it costs and loses when it is mapped naively."""
    pareto: tuple[MappedPoint, ...]
    """What the search found: its Pareto points, as the best model's; none where none is within the limits."""

    @property
    def chosen(self) -> MappedPoint | None:
        """The mapping chosen by the rule that chooses the best model's; None without any within the limits."""
        return min(acceptable(self.pareto, self.point), key=_energy_times_latency) if self.pareto else None


@dataclass(frozen=True)
class Codesign:
    """codesign.json: mappings of the best model."""

    model: str
    """Name of the model that was mapped, the best of results.json."""
    quality_rows: int
    """Validation rows on which log losses were measured."""
    float_log_loss: float
    """The model's log loss on them as it was trained (in floating point, where it has no bits), nats per row."""
    preset: str
    """Whose constants were taken."""
    limits: dict[str, float]
    """Limits of the costs that were given, by their settings' names."""
    measurements: int
    """Log losses measured."""
    pareto: tuple[MappedPoint, ...]
    """Points that no other found is better than, each with a measured log loss, by rising energy."""
    evaluated: tuple[MappedPoint, ...]
    """What the search looked at."""
    naive: MappedPoint
    """W8A8 on the preset's chip."""
    presets: tuple[PresetPoint, ...]
    """The naive mapping on the chip of every preset."""
    handmade: tuple[HandmadePoint, ...]
    """The other hand-made models of results.json."""

    def acceptable(self) -> tuple[MappedPoint, ...]:
        """Those of the Pareto points that may be chosen."""
        return acceptable(self.pareto, self.naive)

    @property
    def chosen(self) -> MappedPoint:
        """The mapping that terminal and report show as the result: the acceptable one of least energy × latency."""
        return self.least(_energy_times_latency)

    def least(self, cost: Callable[[MappedPoint], float]) -> MappedPoint:
        """The acceptable mapping of least cost; of equal ones the first."""
        return min(self.acceptable(), key=cost)


@dataclass(frozen=True)
class LogLosses:
    """codesign_measurements.json: what a stopped search has measured."""

    by_bits: dict[str, float]
    """Validation log loss, nats per row, by the model's kind and name and the choice of bits (`pim_codesign.bits_key`).
    """


def acceptable(pareto: tuple[MappedPoint, ...], naive: MappedPoint) -> tuple[MappedPoint, ...]:
    """The Pareto points that lose at most `LOG_LOSS_TOLERANCE` against the naive mapping. If there are none, the one of
    least log loss; where no log loss was measured, all; without Pareto points, the naive mapping."""
    measured = [(point.log_loss, point) for point in pareto if point.log_loss is not None]
    if not measured or naive.log_loss is None:
        return pareto or (naive,)
    limit = naive.log_loss + LOG_LOSS_TOLERANCE
    good = tuple(point for log_loss, point in measured if log_loss <= limit)
    return good or (min(measured, key=lambda one: (one[0], _energy_times_latency(one[1])))[1],)


def _energy_times_latency(point: MappedPoint) -> float:
    return point.energy_nj * point.latency_us
