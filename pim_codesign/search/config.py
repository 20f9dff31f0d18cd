"""What the co-design search may spend and what it reports."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from pim_codesign.hardware import PRESETS, Hardware, PresetName


@dataclass(frozen=True)
class CodesignConfig:
    """Budgets and limits of `search`."""

    preset: PresetName = "isaac32"
    """Whose constants are taken, and the chip of the naive mapping."""
    embeddings: Literal["dram", "reram_memory", "in_crossbar"] = "dram"
    """Where embedding tables live; their area is reported apart, so it is not searched."""
    population: int = 96
    """Points of a generation, at least 8."""
    generations: int = 150
    """Generations of all rounds together, at least `rounds` + 2; the last two use measured bits only."""
    rounds: int = 4
    """How often log losses are measured where the search found points and the estimates are renewed, at least 1."""
    log_loss_measurements: int = 64
    """Different choices of bits whose log loss is measured, at least 4; the time of a co-design lies here."""
    max_log_loss_increase: float = 0.005
    """Points whose log loss is above the naive mapping's by more than this are of no use, at least 0."""
    log_loss_resolution: float = 1e-5
    """Log losses that differ by less count as equal, above 0."""
    pareto_points: int = 24
    """Points of the Pareto set that are reported, at least 4; a larger set is thinned evenly."""

    def __post_init__(self) -> None:
        least = {
            "population": 8,
            "rounds": 1,
            "generations": self.rounds + 2,
            "log_loss_measurements": 4,
            "max_log_loss_increase": 0,
            "pareto_points": 4,
        }
        for name, value in least.items():
            if not getattr(self, name) >= value:
                raise ValueError(f"CodesignConfig.{name} is {getattr(self, name)}; it must be at least {value}")
        if not self.log_loss_resolution > 0:
            raise ValueError(f"CodesignConfig.log_loss_resolution is {self.log_loss_resolution}; it must be above 0")
        self.hardware  # noqa: B018  raises for an unknown preset or embedding place

    @property
    def hardware(self) -> Hardware:
        """The chip of the naive mapping."""
        if self.preset not in PRESETS:
            raise ValueError(f"CodesignConfig.preset is {self.preset!r}; choose one of {list(PRESETS)}")
        return dataclasses.replace(PRESETS[self.preset], embeddings=self.embeddings)
