"""Retrain the best candidates from scratch, beside baselines on the same rows and recipe; writes results.json.

python -m pipeline.retrain [named run] [--run NAME] [--field value ...]
"""

import sys

from pipeline.run.architecture_files import read_architectures
from pipeline.run.records.candidates import Winners
from pipeline.run.records.results import ModelResult, Results
from pipeline.session import Session, run_program
from pipeline.training.standalone import Contender, build_baseline, build_searched, train_standalone


def retrain(session: Session) -> Results:
    """Train every contender and write results.json; if that is done, only read it."""
    path = session.folder.results
    if not session.exists(path):
        session.write(path, summary(session, [_train_one(session, contender) for contender in contenders(session)]))
    results = session.read(path, Results)
    for model in results.models:
        session.say(table_line(model))
    return results


def contenders(session: Session) -> list[Contender]:
    """The winners, best first, then given architectures, then baselines; each with initial weights of its own."""
    config = session.config.retrain
    given = session.processes.on_first(lambda: read_architectures(config.architectures, session.space))
    winners = session.read(session.folder.winners, Winners).winners[: config.winners]
    return [
        *(
            build_searched(session, "winner", f"winner_{number}", winner.architecture, winner.score)
            for number, winner in enumerate(winners, start=1)
        ),
        *(build_searched(session, "given", name, architecture) for name, architecture in given.items()),
        *(build_baseline(session, name) for name in config.baselines),
    ]


def summary(session: Session, models: list[ModelResult]) -> Results:
    """What results.json holds. The best model is chosen on validation rows; test rows only judge."""
    dataset = session.dataset
    winners = [model for model in models if model.kind == "winner"]
    return Results(
        models=tuple(models),
        best=min(winners, key=lambda model: model.valid.log_loss).name,
        oracle_test_log_loss=dataset.oracle_log_loss("test"),
        train_rows=dataset.rows("train"),
        test_rows=dataset.rows("test"),
        label_ratio=dataset.label_ratio("test"),
    )


def table_line(model: ModelResult) -> str:
    """One model's test figures as a line for the terminal."""
    auc = "   –  " if model.test.auc is None else f"{model.test.auc:.4f}"
    return (
        f"retrain    {model.title:<14} test log loss {model.test.log_loss:.4f}  AUC {auc}"
        f"  {model.multiply_accumulates / 1e6:6.2f} MMACs  {model.parameters / 1e6:5.2f} M parameters"
    )


def _train_one(session: Session, contender: Contender) -> ModelResult:
    metrics = train_standalone(session, contender).metrics
    return ModelResult(
        name=contender.name,
        kind=contender.kind,
        title=contender.title,
        architecture=contender.architecture,
        supernet_score=contender.supernet_score,
        multiply_accumulates=contender.multiply_accumulates,
        parameters=contender.parameters,
        valid=metrics.valid,
        test=metrics.test,
    )


if __name__ == "__main__":
    sys.exit(run_program(retrain, "pipeline.retrain"))
