"""What a co-design found, and its JSON (codesign.json but for what the pipeline adds)."""

from dataclasses import dataclass
from typing import Any

from pim_codesign.cost import Cost, evaluate
from pim_codesign.hardware import Hardware
from pim_codesign.mapping.mapping import Mapping
from pim_codesign.mapping.workload import Workload


@dataclass(frozen=True)
class Point:
    """A mapped workload on a chip."""

    label: str
    """What tables call it."""
    log_loss: float | None
    """Measured with quantized weights and activations; None where it was not measured."""
    cost: Cost
    hardware: Hardware
    operators: tuple[str, ...]
    """The workload's, in the order of `mapping`."""
    mapping: Mapping

    def to_json(self) -> dict[str, Any]:
        """The point as plain JSON values."""
        cost = self.cost
        return {
            "label": self.label,
            "log_loss": self.log_loss,
            "latency_us": cost.latency_us,
            "throughput_per_s": cost.throughput_per_s,
            "energy_nj": cost.energy_nj,
            "area_mm2": cost.area_mm2,
            "embedding_area_mm2": cost.embedding_area_mm2,
            "power_w": cost.power_w,
            "utilization": cost.utilization,
            "arrays": cost.arrays,
            "hardware": self.hardware.to_json(),
            "operators": [
                {"name": name, "weight_bits": o.weight_bits, "activation_bits": o.activation_bits, "dup": o.dup}
                for name, o in zip(self.operators, self.mapping.operators, strict=True)
            ],
            "energy_breakdown_nj": cost.energy_breakdown_nj,
            "area_breakdown_mm2": cost.area_breakdown_mm2,
        }


def naive_point(workload: Workload, hardware: Hardware, log_loss: float | None, label: str = "naive W8A8") -> Point:
    """The naive mapping: 8 bits everywhere, no replication."""
    mapping = Mapping.uniform(workload)
    return Point(label, log_loss, evaluate(workload, hardware, mapping), hardware, workload.operators, mapping)


@dataclass(frozen=True)
class CodesignResult:
    """The outcome of `search`."""

    preset: str
    """Whose constants were taken."""
    pareto: tuple[Point, ...]
    """Points that no other found is better than, each with a measured log loss, by rising energy."""
    evaluated: tuple[Point, ...]
    """What the search looked at: every measured choice of bits on the naive chip, then the last generation."""
    naive: Point
    """W8A8 on the preset's chip."""
    presets: tuple[Point, ...]
    """The naive mapping on the chip of every preset: how far the public tools are apart."""
    measurements: int
    """Log losses measured, replayed ones included."""
    log_loss_resolution: float
    """Log losses that differ by less count as equal."""

    @property
    def better_than_naive(self) -> tuple[Point, ...]:
        """Points of the Pareto set that lose to the naive mapping in nothing."""
        return tuple(point for point in self.pareto if self._at_least_as_good(point, self.naive))

    def _at_least_as_good(self, point: Point, other: Point) -> bool:
        assert point.log_loss is not None and other.log_loss is not None
        return (
            point.log_loss < other.log_loss + self.log_loss_resolution
            and point.cost.latency_us <= other.cost.latency_us
            and point.cost.energy_nj <= other.cost.energy_nj
            and point.cost.area_mm2 <= other.cost.area_mm2
        )

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "preset": self.preset,
            "measurements": self.measurements,
            "pareto": [point.to_json() for point in self.pareto],
            "evaluated": [point.to_json() for point in self.evaluated],
            "naive": self.naive.to_json(),
            "presets": [{"preset": point.hardware.preset, "point": point.to_json()} for point in self.presets],
        }
