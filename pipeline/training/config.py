"""How a network is trained in a stage of a run: its recipe, and how often it is logged and saved."""

from dataclasses import dataclass

from pipeline.run.records.recipe import Recipe, TrainingRecipe


@dataclass(frozen=True)
class TrainingConfig(TrainingRecipe):
    """A recipe with the upkeep of its training; defaults are the published recipe where it fits small data
    (docs/search_space.md)."""

    log_every: int = 50
    """Steps between lines in metrics.jsonl."""
    checkpoint_every: int = 200
    """Steps between checkpoints; 0: only at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.log_every < 1:
            raise ValueError(f"log_every is {self.log_every}; it must be at least 1")
        if self.checkpoint_every < 0:
            raise ValueError(f"checkpoint_every is {self.checkpoint_every}; use 0 for one checkpoint at the end")


def training_config(recipe: Recipe, log_every: int, checkpoint_every: int) -> TrainingConfig:
    """The recipe as a stage's training."""
    return TrainingConfig(**recipe.values(), log_every=log_every, checkpoint_every=checkpoint_every)
