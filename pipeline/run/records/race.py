"""The records of a race from scratch: its trials (lines of race.jsonl) and what it ended with (race.json)."""

from dataclasses import dataclass
from typing import ClassVar

from modules.space import Architecture
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import ModelKind


@dataclass(frozen=True)
class Trial:
    """One training from scratch: a line of race.jsonl."""

    index: int
    """Place in the order in which the race asked for trainings, from 0."""
    round: str
    """The round of the race: recipes, entrants, generation 1 …, promotion 1 …, finals, tuning 1 …"""
    contender: str
    """Name of the contender among those of its kind."""
    kind: ModelKind
    """Where it comes from."""
    origin: str
    """How its architecture was proposed, in words."""
    architecture: Architecture
    """What was trained."""
    recipe: Recipe
    """How it was trained."""
    row_share: float
    """Share of the race's training rows that each pass had, above 0 to 1."""
    rows: int
    """Rows trained on, all passes together."""
    valid_log_loss: float | None
    """Of the best pass, nats per row; None where the training failed."""
    failure: str
    """Why the training failed; empty where it did not."""
    multiply_accumulates: int
    """Multiply-accumulates per row, embeddings not counted."""
    parameters: int
    """Parameters, embedding tables not counted."""
    supernet_score: float | None
    """Validation log loss on the supernet's weights, nats per row, of architectures that the supernet proposed."""
    table_widths: tuple[int, ...] = ()
    """Widths of tables within race.max_table_mb that were found with its weights; empty where none were wanted."""

    @property
    def is_whole(self) -> bool:
        """Whether each pass had all training rows, so that log losses compare with those of other whole trials."""
        return self.row_share == 1.0


@dataclass(frozen=True)
class Finalist:
    """A contender that is trained to the end, with the recipe that the race found for it."""

    name: str
    """Its name among those of its kind."""
    kind: ModelKind
    """Where it comes from."""
    origin: str
    """How its architecture was proposed, in words."""
    architecture: Architecture
    """Its network."""
    recipe: Recipe
    """Its best recipe."""
    trial: int
    """Index of the trial that had it."""
    valid_log_loss: float
    """Validation log loss with it, nats per row."""
    supernet_score: float | None
    """Validation log loss on the supernet's weights, nats per row, of architectures that the supernet proposed."""
    trials: int
    """Trainings that the race spent on this architecture."""
    rows: int
    """Rows trained on in them."""


@dataclass(frozen=True)
class RaceResult:
    """race.json: what the race ended with."""

    HOW_TO_MAKE: ClassVar[str] = "run the race first (python -m pipeline.race)"

    track: str
    """one_pass or tuned: which recipes were open to all contenders."""
    space: str
    """Name of the search space that was mutated."""
    rows_of_pass: int
    """Training rows of a pass of the race: all, or as many as `--minutes` or race.max_rows leave."""
    rows: int
    """Rows that the race trained on."""
    trials: int
    """Trainings of the race."""
    failed: int
    """Those of them that failed."""
    finalists: tuple[Finalist, ...]
    """Searched ones, best first, then given ones, then hand-made ones, best first."""

    def __post_init__(self) -> None:
        if not self.finalists:
            raise ValueError("finalists is empty; a race ends with at least one")
