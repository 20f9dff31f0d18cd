"""The settings of the race from scratch: its length, its tracks, who takes part, and how many reach the end."""

from dataclasses import dataclass, field
from typing import Literal

from modules.space.handmade import HANDMADE
from pipeline.run.records.recipe import TrainingRecipe


def starting_recipe(batch_size: int = 512) -> TrainingRecipe:
    """The recipe from which races start: rates that suited every log that was tried (DECISIONS.md, 2026-11-21)."""
    return TrainingRecipe(
        batch_size=batch_size,
        learning_rate=0.08,
        reference_inputs=64,
        table_learning_rate=1.6,
        table_prior_count=128.0,
    )


_FROM_ONE = ("max_rows", "valid_rows", "children", "proposed", "tournament", "population", "finalists", "retrained")
_FROM_ZERO = (
    "generations",
    "from_supernet",
    "supernet_rows",
    "random",
    "handmade_finalists",
    "tuning_trials",
    "workers",
)


@dataclass(frozen=True)
class RaceConfig:
    """How contenders are trained from scratch against one another, on growing shares of the rows."""

    track: Literal["tuned", "one_pass"] = "tuned"
    """Recipes open to every contender: tuned (embedding width, passes, tables kept or fresh, their rate and prior), or
    one_pass (a single pass, as production logs and the published method have it)."""
    generations: int = 4
    """Generations of children after the entrants, at least 0. Given `--minutes`, which are the budget of the race and
    of the finalists' trainings to the end, there are as many as these leave time for."""
    max_rows: int = 2_000_000
    """Training rows of a pass that the race uses at most, at least 1; finalists are trained on all of them."""
    valid_rows: int = 200_000
    """Validation rows that judge a training of the race at most (the first of a seeded shuffle), at least 1."""
    screening_share: float = 0.25
    """Share of a pass's rows on which new contenders are screened, above 0 to 1; twice as much, a whole pass at
    most, where the recipe keeps tables for several passes."""
    promoted_share: float = 0.2
    """A screened contender is trained on all rows if it is among this share of the best screened, above 0 to 1."""
    handmade: tuple[str, ...] = (
        *("dlrm", "dlrm_dcn", "dcn_v2_parallel", "deepfm"),
        *("dnn", "autoint_plus", "masknet", "finalmlp", "finalnet"),
    )
    """Hand-made models that take part, by name (docs/search_space.md lists them and those that may be added)."""
    max_mega_operations: float = 0.6
    """Searched contenders that cost more per row, at `model.embedding_width`, do not take part (hand-made and given
    ones do), unless a hand-made model leads that costs as much; where one leads the finals, larger networks are grown
    there. Million multiply-accumulates, an elementwise operation counted as 30, which is what it takes in training on a
    CPU; 0: no limit."""
    max_table_mb: float = 0.0
    """Embedding tables that finalists have at most together, MB (10⁶ bytes, float32), at least 0; 0: no limit. Where
    the recipe's tables are larger, the race compares one narrower width for all with widths of each table's own,
    multiples of 4 up to D. (The supernet's tables and
    those of the short trainings that compare contenders are all as wide as `model.embedding_width` nevertheless.)"""
    from_supernet: int = 3
    """Best candidates of the supernet's search that take part, at least 0."""
    supernet_rows: int = 5_000_000
    """Training rows from which on the chain trains a supernet and searches it, at least 0 (0: always). On smaller logs
    its scores do not rank networks, and trainings on part of the rows do (docs/ranking.md)."""
    random: int = 10
    """Random architectures that take part, at least 0."""
    children: int = 8
    """Mutations of leading contenders that a generation screens, at least 1."""
    proposed: int = 64
    """Mutations that a generation draws, of which those are screened that promise most by what was screened before
    (pipeline/search/predictor.py), at least 1; up to `children`: all are."""
    tournament: int = 3
    """Whole-trained contenders that compete to be a child's parent, at least 1."""
    population: int = 10
    """Best whole-trained contenders that may be parents, at least 1."""
    finalists: int = 3
    """Best searched contenders that are trained with the whole recipe, at least 1."""
    handmade_finalists: int = 2
    """Best hand-made contenders that are, at least 0."""
    tuning_trials: int = 1
    """Trials beside the common recipe that the best finalists get, at least 0: recipes of their own, or, for a searched
    one that a hand-made one leads, larger networks."""
    retrained: int = 1
    """Finalists of each kind, searched and hand-made, that try recipes of their own, and are trained to the end with
    several seeds, at least 1."""
    recipe: TrainingRecipe = field(default_factory=starting_recipe)
    """Where the recipes start; the race varies passes, tables, their rate and prior, the dense rate, and the embedding
    width, which starts at `model.embedding_width`. On a small log the batch is halved, to 32 rows at the least, until a
    pass has 500 steps."""
    trained: Literal["apart", "together"] = "apart"
    """apart: each contender by a process of its own with one thread, which holds its tables whole, so that results do
    not depend on the number of ranks. together: by all ranks jointly, for tables that one process cannot hold."""
    workers: int = 0
    """Processes of a rank that train contenders at the same time (apart, on CPU); 0: one a core of the rank's."""

    def __post_init__(self) -> None:
        for name in _FROM_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"race.{name} is {getattr(self, name)}; it must be at least 1")
        for name in _FROM_ZERO:
            if getattr(self, name) < 0:
                raise ValueError(f"race.{name} is {getattr(self, name)}; it must be at least 0")
        for name in ("screening_share", "promoted_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"race.{name} is {getattr(self, name)}; it is a share, above 0 to 1")
        if self.max_mega_operations < 0:
            found = self.max_mega_operations
            raise ValueError(f"race.max_mega_operations is {found}; it must be at least 0")
        if not self.max_table_mb >= 0:
            raise ValueError(f"race.max_table_mb is {self.max_table_mb}; it must be at least 0")
        for name in self.handmade:
            if name not in HANDMADE:
                raise ValueError(f"race.handmade: unknown model {name!r}; known are {list(HANDMADE)}")
        if len(set(self.handmade)) < len(self.handmade):
            raise ValueError(f"race.handmade is {self.handmade}; name each model once")
        if self.recipe.epochs != 1:
            raise ValueError(f"race.recipe.epochs is {self.recipe.epochs}; the race chooses passes, so it starts at 1")

    def wants_supernet(self, train_rows: int) -> bool:
        """Whether a log of so many training rows is one whose race a supernet's candidates take part in.

        >>> RaceConfig().wants_supernet(160_000), RaceConfig(supernet_rows=0).wants_supernet(160_000)
        (False, True)
        """
        return self.from_supernet > 0 and train_rows >= self.supernet_rows
