"""Train the race's finalists to the end, each with its own recipe and several seeds; writes results.json.

python -m pipeline.retrain [named run] [--run NAME] [--field value ...]
"""

import sys

from pipeline.command_line import run_program

if __name__ == "__main__":  # first: the command line is read before the imports below, which take seconds
    sys.exit(run_program("pipeline.retrain:retrain", "pipeline.retrain"))

from collections.abc import Sequence
from dataclasses import dataclass

from modules.embeddings import BYTES_PER_NUMBER
from modules.space import multiply_accumulates, parameter_count
from modules.space.handmade import TITLES
from pipeline.race.cost import training_cost
from pipeline.run.progress_bar import progress_bar
from pipeline.run.records.codec import read_record
from pipeline.run.records.race import Finalist, RaceResult
from pipeline.run.records.results import Comparison, ModelResult, Results, SplitMetrics, retrain_stage
from pipeline.session import Session
from pipeline.training.comparison import compare
from pipeline.training.row_logits import RowLogits, averaged
from pipeline.training.standalone import JUDGED, build, train_with_logits, with_recipe
from pipeline.training.workers import Workers, workers
from pipeline.warm_start import before_path


def retrain(session: Session, team: Workers | None = None) -> Results:
    """Train every finalist and write results.json; if that is done, only read it. `team`: workers to share."""
    path = session.folder.results
    if not session.exists(path):
        finalists = session.read(session.folder.race, RaceResult).finalists
        train_finalists(session, finalists, team)
        session.write(path, session.processes.on_first(lambda: summary(session, finalists)))
    results = session.read(path, Results)
    if session.config.warm_start:
        session.say(session.processes.on_first(lambda: before_line(session, results.best_model)))
    for model in results.models:
        session.say(table_line(model))
    return results


def before_line(session: Session, model: ModelResult) -> str:
    """What a warm start's model had on the test rows before it was trained on, as a line for the terminal."""
    stages = [retrain_stage(model.kind, model.name, seed) for seed in range(len(model.seeds))]
    found = [read_record(before_path(session.folder, stage), SplitMetrics).test for stage in stages]
    mean = sum(metrics.log_loss for metrics in found) / len(found)
    title = f"{model.title}, before"
    return f"retrain    {title:<18} test log loss {mean:.4f}  as {session.config.warm_start} left it"


def train_finalists(session: Session, finalists: Sequence[Finalist], team: Workers | None = None) -> None:
    """Train every finalist with each of its seeds; they leave checkpoints, metrics and logits."""
    longest_first = sorted(finalists, key=lambda own: -training_cost(session, own.architecture, own.recipe))
    jobs = [(finalist, seed) for finalist in longest_first for seed in range(session.config.retrain.seeds)]
    progress = progress_bar(total=len(jobs), desc="retrain", unit="net", disable=not session.processes.is_first)
    with workers(session, team) as own:
        own.each(_train, jobs, lambda _: progress.update())
    progress.close()


def _train(session: Session, job: tuple[Finalist, int]) -> None:
    finalist, seed = job
    stage = retrain_stage(finalist.kind, finalist.name, seed)
    train_with_logits(build(session, stage, finalist.name, finalist.architecture, finalist.recipe, seed))


@dataclass(frozen=True)
class TrainedFinalist:
    """A finalist after its trainings."""

    result: ModelResult
    """What results.json says of it."""
    seeds: tuple[RowLogits, ...]
    """Each seed's logits on the test rows."""


def read_trained(session: Session, finalist: Finalist) -> TrainedFinalist:
    """A finalist whose trainings are done, from the files that they left."""
    folder = session.folder
    stages = [retrain_stage(finalist.kind, finalist.name, seed) for seed in range(session.config.retrain.seeds)]
    ranks = session.processes.world_size if session.config.race.trained == "together" else 1
    logits = {split: [RowLogits.read(folder.logits(stage, split, ranks)) for stage in stages] for split in JUDGED}
    metrics = tuple(read_record(folder.result(stage), SplitMetrics) for stage in stages)
    mean = SplitMetrics(**{split: averaged(seeds).metrics() for split, seeds in logits.items()})
    own = with_recipe(session, finalist.recipe)
    shape = own.shape
    result = ModelResult(
        name=finalist.name,
        kind=finalist.kind,
        title=title(finalist),
        origin=finalist.origin,
        architecture=finalist.architecture,
        recipe=finalist.recipe,
        supernet_score=finalist.supernet_score,
        multiply_accumulates=multiply_accumulates(finalist.architecture, shape),
        parameters=parameter_count(finalist.architecture, shape, session.config.retrain.layer_norm),
        table_bytes=own.table_bytes,
        lookup_bytes=BYTES_PER_NUMBER * sum(shape.widths),
        trials=finalist.trials,
        rows=finalist.rows,
        seeds=metrics,
        ensemble=mean if len(metrics) > 1 else metrics[0],
    )
    return TrainedFinalist(result, tuple(logits["test"]))


def title(finalist: Finalist) -> str:
    """What tables and pictures call it; hand-made models are called what people call them."""
    if finalist.kind == "handmade":
        return TITLES[finalist.name]
    return finalist.name.replace("_", " ").capitalize()


def summary(session: Session, finalists: Sequence[Finalist]) -> Results:
    """What results.json holds. The best model is chosen on validation rows; test rows only judge."""
    dataset = session.dataset
    trained = [read_trained(session, finalist) for finalist in finalists]
    best = min(trained, key=lambda one: one.result.valid.log_loss)
    others = [one for one in trained if one is not best]
    return Results(
        models=tuple(one.result for one in trained),
        best=best.result.title,
        comparisons=tuple(_comparison(best, other) for other in others),
        oracle_test_log_loss=dataset.oracle_log_loss("test"),
        train_rows=dataset.rows("train"),
        test_rows=dataset.rows("test"),
        label_ratio=dataset.label_ratio("test"),
    )


def _comparison(best: TrainedFinalist, other: TrainedFinalist) -> Comparison:
    losses = [[one.log_losses() for one in model.seeds] for model in (best, other)]
    interval = compare(*losses, weights=best.seeds[0].weights)
    return Comparison(other.result.name, other.result.kind, interval.difference, interval.low, interval.high)


def table_line(model: ModelResult) -> str:
    """One model's test figures as a line for the terminal."""
    auc = "   –  " if model.test.auc is None else f"{model.test.auc:.4f}"
    seeds = f"{len(model.seeds)} seed{'s' * (len(model.seeds) > 1)}"
    return (
        f"retrain    {model.title:<18} test log loss {model.test.log_loss:.4f}  AUC {auc}  ({seeds}, "
        f"averaged {model.ensemble.test.log_loss:.4f})  {model.multiply_accumulates / 1e6:6.2f} MMACs  "
        f"{model.table_bytes / 1e6:.1f} MB of tables  {model.recipe.in_words()}"
    )
