"""The race's state: who takes part, every training so far, the budget in rows; a pure function of the outcomes.

Every rank holds the same state: it follows from the configuration and the outcomes alone, so a race that was stopped
is played again from the first training, with the outcomes that are on the disk, and continues as if never stopped.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy

from modules.space import Architecture, canonical, multiply_accumulates, parameter_count
from pipeline.race.cost import cost_of_a_row, operations
from pipeline.race.entry import Entry, loss
from pipeline.race.outcomes import train_all
from pipeline.race.recipes import search_form
from pipeline.race.trial_training import Job, Outcome
from pipeline.run.progress_bar import progress_bar
from pipeline.run.records.race import Trial
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import ModelKind
from pipeline.session import Session
from pipeline.training.standalone import with_recipe
from pipeline.training.workers import Workers, worker_count

BUSY_SHARE = 0.85
"""Share of the wall clock in which workers train: the rest is spent waiting for a round's last one."""


@dataclass(frozen=True)
class Request:
    """A training that a round asks for."""

    entry: Entry
    """Who is trained."""
    recipe: Recipe
    """How."""
    row_share: float = 1.0
    """Share of a pass's rows."""
    is_kept: bool = False
    """Whether its weights are kept, where a pass of the race has all training rows."""
    max_table_mb: float = 0.0
    """Where it is above 0: find the widths of tables of so many MB together."""


class Contest:
    """Entries, trials, and what they took."""

    def __init__(self, session: Session, team: Workers) -> None:
        config = session.config
        self.session, self.config, self.space = session, config.race, session.space
        self.generator: numpy.random.Generator = session.numpy_generator("race")
        self.entries: list[Entry] = []
        self.trials: list[Trial] = []
        self.rows_used, self.cost_used, self.seconds_used = 0, 0.0, 0.0
        self.minutes = session.config.minutes
        self.rows_of_pass = min(session.dataset.rows("train"), config.race.max_rows)
        self.has_numbers = session.dataset.schema.num_integers > 0
        self.ranks_of_batch = session.processes.world_size if config.race.trained == "together" else 1
        ranks = session.processes.world_size
        workers = session.processes.on_first(lambda: worker_count(session)) * ranks  # rank 0's: all decide alike
        self._at_once = workers if config.race.trained == "apart" else 1
        self._team = team
        self._networks: set[Architecture] = set()
        is_quiet = not session.processes.is_first
        self._bar = progress_bar(total=None, desc="race", unit="row", unit_scale=True, disable=is_quiet)

    def enter(
        self,
        name: str,
        kind: ModelKind,
        origin: str,
        architecture: Architecture,
        score: float | None = None,
        is_limited: bool = True,
    ) -> Entry | None:
        """Let a network take part; None where the same one already does, or where a searched one costs too much.

        What a user gives takes part in any case; without `is_limited` a searched one may cost what it likes.
        """
        if kind != "given" and not self.admits(architecture, is_limited and kind == "searched"):
            return None
        self._networks.add(canonical(architecture))
        entry = Entry(name, kind, origin, architecture, score)
        self.entries.append(entry)
        return entry

    def admits(self, architecture: Architecture, is_limited: bool = True) -> bool:
        """Whether a searched network may take part: it does not yet, and it costs no more than it may, if limited."""
        costs_too_much = is_limited and operations(architecture, self.session.shape) > self._most_operations()
        return canonical(architecture) not in self._networks and not costs_too_much

    def _most_operations(self) -> float:
        """What a searched contender may cost: the limit, or as much as a hand-made one that leads the whole trainings.

        A log with rows enough for a large hand-made model to lead wants large networks, and these are its children.
        """
        if not self.config.max_mega_operations:
            return math.inf
        leaders = [entry for _, entry in self.ranked(self.whole())[:1] if entry.kind == "handmade"]
        own = [operations(leader.architecture, self.session.shape) for leader in leaders]
        return max([1e6 * self.config.max_mega_operations, *own])

    def next_name(self) -> str:
        """A name for the next searched contender."""
        return f"net_{1 + sum(entry.kind == 'searched' for entry in self.entries)}"

    def train(self, round_name: str, requests: Sequence[Request]) -> list[Trial]:
        """Train what a round asks for; the trials, in the order asked."""
        jobs = [self._job(len(self.trials) + place, one) for place, one in enumerate(requests)]
        self._bar.set_postfix_str(f"{round_name}, best {self._best_loss():.4f}")
        outcomes = train_all(self.session, self._team, jobs, self._show, self.session.folder.race_outcomes)
        found = [self._record(round_name, *pair) for pair in zip(requests, outcomes, strict=True)]
        self._bar.n = self.rows_used
        self._bar.refresh()
        return found

    def wall_s(self, cost: float) -> float:
        """Wall-clock seconds in which all workers train so much, by what the trainings so far took; infinite if all
        failed."""
        if not self.cost_used:
            return math.inf
        return cost / self.cost_used * self.seconds_used / (self._at_once * BUSY_SHARE)

    @property
    def share_of_rows(self) -> float:
        """Share of the log's training rows that a pass of the race has."""
        return self.rows_of_pass / self.session.dataset.rows("train")

    def expect(self, rows: int) -> None:
        """Tell the progress bar how many rows the race is going to train on."""
        self._bar.total = rows

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()

    def ranked(self, trials: Iterable[Trial]) -> list[tuple[Trial, Entry]]:
        """Trials that did not fail with their entries, best first, each entry once."""
        of = {(entry.kind, entry.name): entry for entry in self.entries}
        found: dict[tuple[ModelKind, str], Trial] = {}
        for trial in sorted(trials, key=lambda trial: (loss(trial), trial.index)):
            if trial.valid_log_loss is not None:
                found.setdefault((trial.kind, trial.contender), trial)
        return [(trial, of[key]) for key, trial in found.items()]

    def search_form(self, recipe: Recipe) -> Recipe:
        """The short form of a recipe, with which many contenders are compared."""
        return search_form(recipe, self.session.config.model.embedding_width)

    def fits(self, recipe: Recipe) -> bool:
        """Whether the recipe's tables are within race.max_table_mb."""
        limit = 1e6 * self.config.max_table_mb
        return not limit or with_recipe(self.session, recipe).table_bytes <= limit

    def whole(self) -> list[Trial]:
        """The trials on whole passes."""
        return [trial for trial in self.trials if trial.is_whole]

    def trained_alike(self, recipe: Recipe) -> list[Trial]:
        """The trials on whole passes with this recipe: those of other recipes do not compare contenders."""
        return [trial for trial in self.whole() if trial.recipe == recipe]

    def _best_loss(self) -> float:
        return min((loss(trial) for trial in self.whole()), default=math.nan)

    def _show(self, outcome: Outcome) -> None:
        self._bar.update(outcome.rows)

    def _job(self, index: int, request: Request) -> Job:
        has_all_rows = self.rows_of_pass == self.session.dataset.rows("train")
        entry, is_kept = request.entry, request.is_kept and has_all_rows
        architecture, share = entry.architecture, request.row_share * self.share_of_rows
        return Job(index, entry.name, architecture, request.recipe, share, is_kept, request.max_table_mb)

    def _record(self, round_name: str, request: Request, outcome: Outcome) -> Trial:
        entry = request.entry
        shape = with_recipe(self.session, request.recipe).shape
        layer_norm = self.session.config.retrain.layer_norm
        trial = Trial(
            index=outcome.job.index,
            round=round_name,
            contender=entry.name,
            kind=entry.kind,
            origin=entry.origin,
            architecture=entry.architecture,
            recipe=request.recipe,
            row_share=request.row_share,
            rows=outcome.rows,
            valid_log_loss=outcome.valid_log_loss,
            failure=outcome.failure,
            multiply_accumulates=multiply_accumulates(entry.architecture, shape),
            parameters=parameter_count(entry.architecture, shape, layer_norm),
            supernet_score=entry.supernet_score,
            table_widths=outcome.table_widths,
        )
        entry.trials.append(trial)
        self.trials.append(trial)
        self.rows_used += outcome.rows
        self.cost_used += outcome.rows * cost_of_a_row(self.session, entry.architecture, request.recipe)
        self.seconds_used += outcome.seconds
        return trial
