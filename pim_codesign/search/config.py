"""What the co-design search may spend, what it reports, and the options of its chip."""

from dataclasses import dataclass

from pim_codesign.checks import number, whole
from pim_codesign.hardware import PRESETS, EmbeddingPlace, Hardware, PresetName
from pim_codesign.overrides import ChipOptions
from pim_codesign.search.chips import lossless_chip

COST_LIMITS = ("max_latency_us", "max_area_mm2", "max_power_w")
"""Settings that limit what a mapping costs."""


@dataclass(frozen=True)
class CodesignConfig(ChipOptions):
    """Budgets and limits of `search`. A chip option that is given is fixed; the other searched options are varied.

    Raises ValueError for a budget or limit that is too small, and for options that leave no chip.
    """

    preset: PresetName = "isaac32"
    """The preset whose constants and options the chip of the naive mapping has."""
    embeddings: EmbeddingPlace = "dram"
    """Where the embedding tables live. Their area is reported apart, so the place is not searched."""
    population: int = 96
    """Points per generation, at least 8."""
    generations: int = 150
    """Generations of all rounds together, at least `rounds` + 2; the last two use measured bits only."""
    rounds: int = 4
    """How often log losses are measured where the search found points and the estimates are renewed, at least 1."""
    log_loss_measurements: int = 64
    """Different choices of bits whose log loss is measured, at least 4. Most of a co-design's time is spent here."""
    log_loss_rows: int = 8_192
    """Validation rows, a seeded sample, that each of them is measured on, at least 1."""
    max_log_loss_increase: float = 0.005
    """Points whose log loss exceeds the naive mapping's by more than this are rejected, at least 0."""
    max_latency_us: float = 0.0
    """Mappings whose latency of one row is above this are rejected, µs, at least 0; 0: no limit."""
    max_area_mm2: float = 0.0
    """Mappings whose area, embedding tables not counted, is above this are rejected, mm², at least 0; 0: no limit."""
    max_power_w: float = 0.0
    """Mappings whose power at full throughput is above this are rejected, W, at least 0; 0: no limit."""
    log_loss_resolution: float = 1e-5
    """Log losses that differ by less count as equal, above 0."""
    pareto_points: int = 24
    """Points of the Pareto set that are reported, at least 4; a larger set is thinned evenly."""

    def __post_init__(self) -> None:
        whole("CodesignConfig.rounds", self.rounds, 1)
        least = {
            "population": 8,
            "rounds": 1,
            "generations": self.rounds + 2,
            "log_loss_measurements": 4,
            "log_loss_rows": 1,
            "pareto_points": 4,
        }
        for name, value in least.items():
            whole(f"CodesignConfig.{name}", getattr(self, name), value)
        for name in ("max_log_loss_increase", *COST_LIMITS):
            number(f"CodesignConfig.{name}", getattr(self, name), least=0)
        number("CodesignConfig.log_loss_resolution", self.log_loss_resolution, above=0)
        self.hardware  # noqa: B018  raises ValueError for options that make no chip

    @property
    def hardware(self) -> Hardware:
        """The chip of the naive mapping: the preset's with the options that are given, converting without loss.

        Raises ValueError where the given options leave no such chip.
        """
        if self.preset not in PRESETS:
            raise ValueError(f"CodesignConfig.preset is {self.preset!r}; choose one of {list(PRESETS)}")
        return lossless_chip(PRESETS[self.preset], self.given, self.fixed)

    @property
    def cost_limits(self) -> dict[str, float]:
        """The limits that are given, by their names."""
        return {name: getattr(self, name) for name in COST_LIMITS if getattr(self, name)}

    @property
    def fixed(self) -> frozenset[str]:
        """Names of the options that the search leaves as they are in `hardware`: those that are given."""
        return frozenset(self.given)
