"""What a co-design search found."""

from dataclasses import dataclass

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
