"""The record of a rank study: how well cheap scores rank networks as training from scratch does."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from modules.space import Architecture
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.settings import RankStudyConfig


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
