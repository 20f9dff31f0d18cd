"""The report's tables of models: how good the retrained ones are, what they cost, and the race's contenders."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.report.drawing.style import KIND_TITLES
from pipeline.report.tables import ABSENT, Row, Table, optional
from pipeline.report.words import deviation, difference, millions, significant
from pipeline.run.records.race import Trial
from pipeline.run.records.results import ModelKind, ModelResult, Results

SHOWN_CONTENDERS = 12
"""Of more contenders so many leading ones are shown, and all on request."""

_Text = Callable[[ModelResult, Results], str]
_Key = Callable[[ModelResult], float]
"""Least for the best model; infinite where a column has no best."""


def _no_best(_: ModelResult) -> float:
    return math.inf


_QUALITY: tuple[tuple[str, _Text, _Key], ...] = (
    ("test log loss", lambda model, _: _spread(model), lambda model: model.test.log_loss),
    ("seeds", lambda model, _: f"{len(model.seeds)}", _no_best),
    ("difference to the best model (95 %)", lambda model, results: _difference(model, results), _no_best),
    (
        "seeds averaged",
        lambda model, _: f"{model.ensemble.test.log_loss:.5f}" if len(model.seeds) > 1 else ABSENT,
        lambda model: model.ensemble.test.log_loss if len(model.seeds) > 1 else math.inf,
    ),
    (
        "AUC",
        lambda model, _: optional(model.test.auc, ".5f"),
        lambda model: math.inf if model.test.auc is None else -model.test.auc,
    ),
    (
        "normalized entropy",
        lambda model, _: optional(model.test.normalized_entropy, ".5f"),
        lambda model: math.inf if model.test.normalized_entropy is None else model.test.normalized_entropy,
    ),
    (
        "calibration",
        lambda model, _: optional(model.test.calibration, ".4f"),
        lambda model: math.inf if model.test.calibration is None else abs(model.test.calibration - 1),
    ),
    ("valid log loss", lambda model, _: f"{model.valid.log_loss:.5f}", lambda model: model.valid.log_loss),
    ("supernet score", lambda model, _: optional(model.supernet_score, ".5f"), _no_best),
)
_COSTS: tuple[tuple[str, _Text, _Key], ...] = (
    ("recipe", lambda model, _: model.recipe.in_words(), _no_best),
    ("MMACs", lambda model, _: millions(model.multiply_accumulates), lambda model: model.multiply_accumulates),
    ("parameters", lambda model, _: f"{model.parameters:,}", lambda model: model.parameters),
    ("tables MB", lambda model, _: significant(model.table_bytes / 1e6), lambda model: model.table_bytes),
    ("lookup bytes per row", lambda model, _: f"{model.lookup_bytes:,}", lambda model: model.lookup_bytes),
    ("trials", lambda model, _: f"{model.trials:,}", _no_best),
    ("rows trained in them", lambda model, _: f"{model.rows:,}", _no_best),
)
"""Heading, text, and a key that is least for the best model."""


def models_table(results: Results) -> Table:
    """Every retrained model on the test rows, least mean test log loss first."""
    caption = (
        "Means over the seeds, log loss ± its standard deviation over them; the best model is the one of least "
        "validation log loss. Difference: the model's test log loss less the best model's, with its 95 % interval over "
        "test rows and seeds. Seeds averaged: log loss of the mean of the seeds' logits. Calibration: predicted clicks "
        "over clicks. Blue: best of the column."
    )
    return _of_models("models", "Models", _QUALITY, results, caption)


def costs_table(results: Results) -> Table:
    """What every retrained model costs: recipe, compute, tables, and what the race spent on it."""
    caption = (
        "MMACs: million multiply-accumulates per row, embeddings not counted; what the field publishes as “MFLOPs” are "
        "these. Parameters: the dense part. Tables: float32. Trials: the race's trainings of this architecture, the "
        "final ones not among them."
    )
    return _of_models("costs", "What the models cost", _COSTS, results, caption, frozenset({1}))


def _of_models(
    name: str,
    title: str,
    columns: tuple[tuple[str, _Text, _Key], ...],
    results: Results,
    caption: str,
    texts: frozenset[int] = frozenset(),
) -> Table:
    models = sorted(results.models, key=lambda model: model.test.log_loss)
    least = [min(map(key, models)) if len(models) > 1 else math.inf for _, _, key in columns]
    rows = []
    for model in models:
        cells = (model.title, *(text(model, results) for _, text, _ in columns))
        best = {place for place, (_, _, key) in enumerate(columns, 1) if key(model) == least[place - 1] < math.inf}
        rows.append(Row(cells, model.kind, KIND_TITLES[model.kind], frozenset(best)))
    return Table(name, title, ("model", *(head for head, _, _ in columns)), tuple(rows), caption, texts=texts)


def _spread(model: ModelResult) -> str:
    spread = deviation(model)
    return f"{model.test.log_loss:.5f}" + ("" if spread is None else f" ± {spread:.5f}")


def _difference(model: ModelResult, results: Results) -> str:
    """The model's log loss less the best one's: the comparison turned round."""
    if model is results.best_model:
        return "the best"
    found = results.comparison(model)
    if found is None:
        return ABSENT
    return f"{difference(-found.difference)} ({difference(-found.high)} to {difference(-found.low)})"


@dataclass(frozen=True)
class Contender:
    """What the race made of one contender."""

    kind: ModelKind
    """Where it comes from."""
    name: str
    """Its name among those of its kind."""
    trials: tuple[Trial, ...]
    """Its trainings, in the race's order; at least one."""

    @property
    def best(self) -> Trial | None:
        """Its best trial on the largest share of the rows on which one succeeded; None if all failed."""
        done = [trial for trial in self.trials if trial.valid_log_loss is not None]
        return min(done, key=_standing, default=None)


def _standing(trial: Trial) -> tuple[float, float]:
    """Whole trials before screenings, then by log loss."""
    assert trial.valid_log_loss is not None
    return -trial.row_share, trial.valid_log_loss


def contenders(trials: Sequence[Trial]) -> tuple[Contender, ...]:
    """The race's contenders: best whole trial first, then those that were only screened, then those that failed."""
    names = dict.fromkeys((trial.kind, trial.contender) for trial in trials)
    found = [
        Contender(kind, name, tuple(trial for trial in trials if (trial.kind, trial.contender) == (kind, name)))
        for kind, name in names
    ]
    return tuple(sorted(found, key=lambda one: (1.0, 0.0) if one.best is None else _standing(one.best)))


_CONTENDER_HEADS = ("contender", "origin", "share of rows", "best valid log loss", "trials", "rows trained", "failures")


def contenders_table(trials: Sequence[Trial]) -> Table:
    """The leading contenders of the race with their best trials."""
    found = contenders(trials)
    title = "Contenders of the race"
    caption = (
        "Each with its best trial. Validation log losses compare among equal shares of the rows only: those trained on "
        "all rows come first. Trials, rows and failures are all of the contender's."
    )
    if len(found) > SHOWN_CONTENDERS:
        caption += f" The first {SHOWN_CONTENDERS} of {len(found)}."
    return _of_contenders("contenders", title, found[:SHOWN_CONTENDERS], caption)


def all_contenders_table(trials: Sequence[Trial]) -> Table:
    """Every contender, where `contenders_table` has not room for all; else no rows."""
    found = contenders(trials)
    shown = found if len(found) > SHOWN_CONTENDERS else ()
    return _of_contenders("all-contenders", f"All {len(found)} contenders", shown, "", folded=True)


def _of_contenders(name: str, title: str, found: Sequence[Contender], caption: str, folded: bool = False) -> Table:
    rows = tuple(Row(_contender_cells(one), one.kind, KIND_TITLES[one.kind]) for one in found)
    return Table(name, title, _CONTENDER_HEADS, rows, caption, folded, frozenset({1, 6}))


def _contender_cells(one: Contender) -> tuple[str, ...]:
    failed = [trial for trial in one.trials if trial.valid_log_loss is None]
    failure = f"{len(failed)} of {len(one.trials)}: {failed[0].failure}" if failed else ABSENT
    return (
        one.name,
        one.trials[0].origin,
        ABSENT if one.best is None else f"{significant(100 * one.best.row_share)} %",
        ABSENT if one.best is None else f"{one.best.valid_log_loss:.5f}",
        f"{len(one.trials):,}",
        f"{sum(trial.rows for trial in one.trials):,}",
        failure,
    )
