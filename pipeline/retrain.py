"""Train the race's finalists to the end, each with its own recipe and several seeds; writes results.json.

python -m pipeline.retrain [named run] [--run NAME] [--field value ...]
"""

import sys
from dataclasses import dataclass

from modules.space import multiply_accumulates, parameter_count
from pipeline.run.records.race import Finalist, RaceResult
from pipeline.run.records.results import Comparison, ModelResult, Results, SplitMetrics
from pipeline.session import Session, run_program
from pipeline.training.comparison import compare
from pipeline.training.row_logits import RowLogits, averaged
from pipeline.training.standalone import JUDGED, Trained, build, train_standalone, with_recipe

BYTES_PER_NUMBER = 4
"""Tables are float32."""


def retrain(session: Session) -> Results:
    """Train every finalist and write results.json; if that is done, only read it."""
    path = session.folder.results
    if not session.exists(path):
        finalists = session.read(session.folder.race, RaceResult).finalists
        trained = [train_finalist(session, finalist) for finalist in finalists]
        session.write(path, session.processes.on_first(lambda: summary(session, trained)))
    results = session.read(path, Results)
    for model in results.models:
        session.say(table_line(model))
    return results


@dataclass(frozen=True)
class TrainedFinalist:
    """A finalist after its trainings."""

    result: ModelResult
    """What results.json says of it."""
    seeds: tuple[RowLogits, ...]
    """Each seed's logits on the test rows; empty but on rank 0."""


def train_finalist(session: Session, finalist: Finalist) -> TrainedFinalist:
    """Train a finalist with each of its seeds, one after the other."""
    trained = [_train(session, finalist, seed) for seed in range(session.config.retrain.seeds)]
    metrics = tuple(one.metrics for one in trained)

    def ensemble() -> SplitMetrics:
        mean = {split: averaged([one.logits[split] for one in trained]).metrics() for split in JUDGED}
        return SplitMetrics(**mean)

    shape = with_recipe(session, finalist.recipe).shape
    layer_norm = session.config.retrain.layer_norm
    result = ModelResult(
        name=finalist.name,
        kind=finalist.kind,
        title=title(finalist),
        origin=finalist.origin,
        architecture=finalist.architecture,
        recipe=finalist.recipe,
        supernet_score=finalist.supernet_score,
        multiply_accumulates=multiply_accumulates(finalist.architecture, shape),
        parameters=parameter_count(finalist.architecture, shape, layer_norm),
        table_bytes=BYTES_PER_NUMBER * sum(session.dataset.schema.table_sizes) * shape.embedding_width,
        lookup_bytes=BYTES_PER_NUMBER * shape.fields * shape.embedding_width,
        trials=finalist.trials,
        rows=finalist.rows,
        seeds=metrics,
        ensemble=session.processes.on_first(ensemble) if len(trained) > 1 else metrics[0],
    )
    return TrainedFinalist(result, tuple(one.logits["test"] for one in trained))


def _train(session: Session, finalist: Finalist, seed: int) -> Trained:
    contender = build(session, finalist.kind, finalist.name, finalist.architecture, finalist.recipe, seed)
    return train_standalone(contender)


def title(finalist: Finalist) -> str:
    """What tables and pictures call it; hand-made models are called what people call them."""
    if finalist.kind == "handmade":
        return TITLES[finalist.name]
    return finalist.name.replace("_", " ").capitalize()


TITLES = {
    "logistic_regression": "Logistic regression",
    "dnn": "DNN",
    "wide_and_deep": "Wide & Deep",
    "dlrm": "DLRM",
    "dlrm_dcn": "DLRM + DCN-v2",
    "dcn_v2": "DCN-v2",
    "dcn_v2_parallel": "DCN-v2 (parallel)",
    "deepfm": "DeepFM",
    "xdeepfm": "xDeepFM",
    "autoint": "AutoInt",
    "autoint_plus": "AutoInt+",
    "masknet": "MaskNet",
    "finalnet": "FinalNet",
    "finalmlp": "FinalMLP",
}
"""Names of the hand-made models (modules/space/handmade) as they are written."""


def summary(session: Session, trained: list[TrainedFinalist]) -> Results:
    """What results.json holds. The best model is chosen on validation rows; test rows only judge."""
    dataset = session.dataset
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
    interval = compare([one.log_losses() for one in best.seeds], [one.log_losses() for one in other.seeds])
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


if __name__ == "__main__":
    sys.exit(run_program(retrain, "pipeline.retrain"))
