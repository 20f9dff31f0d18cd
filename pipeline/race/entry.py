"""A contender of the race: an architecture, where it comes from, and every training that it had."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from modules.space import Architecture
from pipeline.run.records.race import Finalist, Trial
from pipeline.run.records.results import ModelKind


@dataclass(frozen=True)
class Entry:
    """A contender."""

    name: str
    """Its name among those of its kind."""
    kind: ModelKind
    """Where it comes from."""
    origin: str
    """How its architecture was proposed, in words."""
    architecture: Architecture
    """What is trained."""
    supernet_score: float | None = None
    """Its score on the supernet's weights, where it has one."""
    trials: list[Trial] = field(default_factory=list, compare=False, hash=False)
    """Its trainings so far, in their order."""

    def best(self, among: Iterable[Trial] | None = None) -> Trial | None:
        """Its best training of those given (all), failed ones left out; the earlier of equal ones."""
        done = [trial for trial in (self.trials if among is None else among) if trial.valid_log_loss is not None]
        return min(done, key=lambda trial: (loss(trial), trial.index), default=None)

    def finalist(self, among: Iterable[Trial]) -> Finalist:
        """What race.json says of it, with the best recipe of these trainings on whole passes."""
        best = self.best(among)
        assert best is not None and best.valid_log_loss is not None, "a finalist has been trained on whole passes"
        return Finalist(
            name=self.name,
            kind=self.kind,
            origin=self.origin,
            architecture=self.architecture,
            recipe=best.recipe,
            trial=best.index,
            valid_log_loss=best.valid_log_loss,
            supernet_score=self.supernet_score,
            trials=len(self.trials),
            rows=sum(trial.rows for trial in self.trials),
        )


def loss(trial: Trial | None) -> float:
    """The trial's validation log loss; infinite where there is none."""
    return float("inf") if trial is None or trial.valid_log_loss is None else trial.valid_log_loss
