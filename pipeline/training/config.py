"""How a network is trained in a stage of a run: its recipe, and how it is logged, saved and guarded."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.run.records.recipe import Recipe, TrainingRecipe


@dataclass(frozen=True)
class UpkeepConfig:
    """What a training does beside learning."""

    log_every: int = 50
    """Steps between lines in metrics.jsonl, at least 1."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints, at least 0 (0: none but those of checkpoint_every and the one at the end). They are
    written while training goes on; one that takes longer than this delays the next, and never a step. SIGTERM asks for
    one at once, and ends the program. The last two complete ones are kept until the training has ended."""
    checkpoint_every: int = 0
    """Steps between checkpoints beside those, at least 0 (0: none). A step waits until the one before is written."""
    on_spike: Literal["roll_back", "skip", "stop"] = "roll_back"
    """What a loss that is not finite, or that spikes, does. roll_back: training goes back to the newest checkpoint and
    on from there without that step's rows; it costs nothing until then, and where there is no checkpoint yet it stops.
    skip: the step's gradients are not applied; each step waits for its loss, the mean over ranks, which on CUDA costs.
    stop: the training ends as diverged. All three end so after 5 such steps in a row, or 1 % of all."""
    spike_factor: float = 10.0
    """A loss is a spike above so many times the largest of the last 128 accepted ones, above 1; 0: only losses that are
    not finite are (pipeline/training/spikes.py)."""

    def __post_init__(self) -> None:
        for name, least in (("log_every", 1), ("checkpoint_minutes", 0), ("checkpoint_every", 0)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not (self.spike_factor == 0 or self.spike_factor > 1):
            raise ValueError(f"spike_factor is {self.spike_factor}; it must be above 1, or 0 for no limit")

    def upkeep(self) -> dict[str, Any]:
        """The fields of this class by name, also of an object of a derived one."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(UpkeepConfig)}


@dataclass(frozen=True)
class TrainingConfig(TrainingRecipe, UpkeepConfig):
    """A recipe with the upkeep of its training; defaults are the published recipe where it fits small data
    (docs/search_space.md)."""

    def __post_init__(self) -> None:
        TrainingRecipe.__post_init__(self)
        UpkeepConfig.__post_init__(self)


def training_config(recipe: Recipe, upkeep: UpkeepConfig) -> TrainingConfig:
    """The recipe as a stage's training."""
    return TrainingConfig(**recipe.values(), **upkeep.upkeep())
