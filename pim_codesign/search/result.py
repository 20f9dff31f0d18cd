"""What a co-design search found, and its JSON (codesign.json except for what the pipeline adds)."""

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
    """Its name in tables."""
    log_loss: float | None
    """Measured with quantized weights and activations; None where it was not measured."""
    cost: Cost
    """Its cost per sample."""
    hardware: Hardware
    """Its chip."""
    operators: tuple[str, ...]
    """Names of the workload's operators, in the order of `mapping`."""
    mapping: Mapping
    """Bits and replication of each operator."""

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
    """The preset whose constants were taken."""
    pareto: tuple[Point, ...]
    """Points that no other point dominates, each with a measured log loss, by rising energy."""
    evaluated: tuple[Point, ...]
    """Points that the search evaluated: every measured choice of bits on the base chip, then the last generation."""
    naive: Point
    """W8A8 on the base chip: the preset's, with the options that the configuration gives."""
    presets: tuple[Point, ...]
    """The naive mapping on every preset's own chip: how far the public tools are apart."""
    measurements: int
    """Log losses measured, replayed ones included."""

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
