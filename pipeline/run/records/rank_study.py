"""The settings and the record of a rank study: how well cheap scores rank networks as training from scratch does."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from modules.space import Architecture
from modules.space.sampling import SAMPLERS
from pipeline.run.records.recipe import Recipe


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
            if name not in SAMPLERS:
                raise ValueError(f"rank_study.samplers: {name!r} is unknown; known are {sorted(SAMPLERS)}")
        if len(set(self.samplers)) < len(self.samplers):
            raise ValueError(f"rank_study.samplers is {self.samplers}; name each once")
        for name, least in (("random", 3), ("good", 0), ("seeds", 1), ("rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"rank_study.{name} is {getattr(self, name)}; it must be at least {least}")
        if not all(0 < share < 1 for share in self.shares):
            raise ValueError(f"rank_study.shares is {self.shares}; each is above 0 and below 1")


@dataclass(frozen=True)
class Estimate:
    """A statistic of the networks studied, with its interval over the draw of networks."""

    value: float
    """Of all networks."""
    low: float
    """Lower end of the 95 % bootstrap interval."""
    high: float
    """Its upper end."""


@dataclass(frozen=True)
class Ranking:
    """How a score ranks networks."""

    kendall_tau: Estimate
    """Kendall's τ-b with the losses from scratch, −1 to 1."""
    spearman: Estimate
    """Spearman's ρ, −1 to 1."""
    top1_regret: Estimate
    """Loss from scratch of the network with the best score, less that of the best network, nats per row, ≥ 0."""
    top3_regret: Estimate
    """The same for the best of the three best-scored networks: what a search that trains three loses."""


@dataclass(frozen=True)
class StudiedNetwork:
    """A network of the study and its log losses from scratch."""

    index: int
    """Its number, from 0."""
    origin: Literal["random", "good"]
    """Drawn at random, or among the best that the run's search scored."""
    architecture: Architecture
    """The network."""
    losses: tuple[float | None, ...]
    """Validation log loss of each training from scratch on all rows, nats per row; None where it failed."""

    @property
    def loss(self) -> float | None:
        """Their mean; None where one failed."""
        found = [loss for loss in self.losses if loss is not None]
        return sum(found) / len(found) if found and len(found) == len(self.losses) else None


@dataclass(frozen=True)
class StudiedScore:
    """One way to score networks."""

    name: str
    """What it is called on the command line."""
    title: str
    """What it does, in words."""
    scores: tuple[float | None, ...]
    """Of each network, in their order; None where it failed."""
    cpu_s: float
    """Mean CPU-seconds of a network."""
    ranking: Ranking
    """How it ranks the networks that were trained from scratch."""


@dataclass(frozen=True)
class RankStudy:
    """rank_study.json: the networks, every score, and how well it ranks."""

    HOW_TO_MAKE: ClassVar[str] = "run the study first (python -m pipeline.rank_study)"

    settings: RankStudyConfig
    """The settings that it was made with."""
    recipe: Recipe
    """How networks were trained from scratch: the race's form for comparing contenders."""
    networks: tuple[StudiedNetwork, ...]
    """In their order."""
    scratch_cpu_s: float
    """Mean CPU-seconds of one training on all rows."""
    scratch_tau: Estimate | None
    """Kendall's τ between two trainings from scratch that differ in their seed: no score can be expected to do better;
    None with one seed."""
    scores: tuple[StudiedScore, ...]
    """Every way to score, cheapest first."""
