"""The settings of a rank study, which its record keeps, and those of the trees beside the networks."""

from dataclasses import dataclass

from modules.space.names import SAMPLER_NAMES


@dataclass(frozen=True)
class RankStudyConfig:
    """What `python -m pipeline.rank_study` studies; no other stage reads it."""

    random: int = 40
    """Networks drawn at random, at least 3."""
    good: int = 0
    """Best candidates of the run's search beside them, at least 0."""
    seeds: int = 2
    """Trainings of each on all rows, at least 1."""
    shares: tuple[float, ...] = (0.0625, 0.125, 0.25, 0.5)
    """Shares of the rows on which each is trained from scratch as well, above 0 and below 1; the race's is added."""
    rows: int = 65_536
    """Training rows on which the dense part is trained on the supernet's frozen tables, at least 1."""
    samplers: tuple[str, ...] = ()
    """Ways to draw a step's path (supernet.sampler): a supernet is trained by each and studied beside the run's own."""

    def __post_init__(self) -> None:
        for name in self.samplers:
            if name not in SAMPLER_NAMES:
                raise ValueError(f"rank_study.samplers: {name!r} is unknown; known are {sorted(SAMPLER_NAMES)}")
        if len(set(self.samplers)) < len(self.samplers):
            raise ValueError(f"rank_study.samplers is {self.samplers}; name each once")
        for name, least in (("random", 3), ("good", 0), ("seeds", 1), ("rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"rank_study.{name} is {getattr(self, name)}; it must be at least {least}")
        if not all(0 < share < 1 for share in self.shares):
            raise ValueError(f"rank_study.shares is {self.shares}; each is above 0 and below 1")


@dataclass(frozen=True)
class TreesConfig:
    """Gradient-boosted trees (LightGBM) beside the networks: what one would try instead. They are not exported."""

    rows: int = 2_000_000
    """Training rows up to which trees are fitted, all in memory, at least 0; on larger logs there are none."""
    rounds: int = 500
    """Trees that a fit has at most, at least 1; it ends when validation rows have not gained for 30 trees."""
    leaves: int = 63
    """Leaves of a tree, at least 2."""
    learning_rate: float = 0.1
    """What a tree's values are multiplied by, above 0 to 1."""

    def __post_init__(self) -> None:
        for name, least in (("rows", 0), ("rounds", 1), ("leaves", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"trees.{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 < self.learning_rate <= 1:
            raise ValueError(f"trees.learning_rate is {self.learning_rate}; it must be above 0 and at most 1")
