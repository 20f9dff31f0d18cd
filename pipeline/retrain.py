"""Retrain the best candidates from scratch, beside baselines on the same rows and recipe; writes results.json.

python -m pipeline.retrain [named run] [--run NAME] [--field value ...]
"""

import sys
from typing import Any

from modules import baselines
from modules.baselines import DCNInteraction, DeepFMInteraction, DLRMInteraction
from modules.space import Architecture, multiply_accumulates, parameter_count
from pipeline.run.architecture_files import read_architectures
from pipeline.run.files import read_json, write_json
from pipeline.run.folder import RunFolder
from pipeline.search.driver import read_winners
from pipeline.session import Session, run_program
from pipeline.training.metrics import Metrics
from pipeline.training.standalone import Contender, build, train_standalone


def retrain(session: Session) -> dict[str, Any]:
    """Train every contender and write results.json; done before: only reads it."""
    if not session.processes.on_first(session.run.results.exists):
        entries = [_train_one(session, contender) for contender in contenders(session)]
        results = summary(session, entries)
        session.processes.on_first(lambda: write_json(session.run.results, results))
    results = session.processes.on_first(lambda: read_results(session.run))
    for entry in results["models"]:
        session.say(table_line(entry))
    return results


def contenders(session: Session) -> list[Contender]:
    """The winners, best first, then the baselines; each with initial weights of its own stream."""
    config = session.config.retrain
    given = session.processes.on_first(lambda: read_architectures(config.architectures, session.space))
    winners = session.processes.on_first(lambda: read_winners(session.run, session.space))
    found = [
        build(session, f"winner_{number}", winner.architecture, winner.score)
        for number, winner in enumerate(winners[: config.winners], start=1)
    ]
    found += [build(session, name, architecture) for name, architecture in given.items()]
    return found + [build(session, name) for name in config.baselines]


def summary(session: Session, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """What results.json holds. The best model is chosen on validation rows; test rows only judge."""
    winners = [entry for entry in entries if entry["kind"] == "winner"]
    dataset = session.dataset
    return {
        "models": entries,
        "best": min(winners, key=lambda entry: entry["valid"]["log_loss"])["name"],
        "oracle_test_log_loss": dataset.oracle_log_loss("test"),
        "train_rows": dataset.rows("train"),
        "test_rows": dataset.rows("test"),
        "label_ratio": dataset.label_ratio("test"),
    }


def read_results(run: RunFolder) -> dict[str, Any]:
    """What `retrain` wrote. Raises ValueError when there is nothing yet, or something else."""
    if not run.results.exists():
        raise ValueError(f"{run.results} does not exist; retrain the winners first (python -m pipeline.retrain)")
    results: dict[str, Any] = read_json(run.results)
    try:
        best_model(results)
        for entry in results["models"]:
            table_line(entry)
            if entry["architecture"] is not None:
                Architecture.from_json(entry["architecture"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{run.results}: not the results of a run ({type(error).__name__}: {error}); "
            "repair the file, or remove it: the same command writes it again"
        ) from error
    return results


def best_model(results: dict[str, Any]) -> dict[str, Any]:
    """The entry of the model that results.json calls the best."""
    entries = {entry["name"]: entry for entry in results["models"]}
    best: dict[str, Any] = entries[results["best"]]
    return best


def table_line(entry: dict[str, Any]) -> str:
    """One model's test figures as a line for the terminal."""
    test = Metrics.from_json(entry["test"])
    auc = "   –  " if test.auc is None else f"{test.auc:.4f}"
    return (
        f"retrain    {entry['title']:<14} test log loss {test.log_loss:.4f}  AUC {auc}"
        f"  {entry['multiply_accumulates'] / 1e6:6.2f} MMACs  {entry['parameters'] / 1e6:5.2f} M parameters"
    )


def _train_one(session: Session, contender: Contender) -> dict[str, Any]:
    trained = train_standalone(session, contender.network, contender.name)
    if contender.architecture is None:
        assert isinstance(contender.network, DLRMInteraction | DCNInteraction | DeepFMInteraction)
        operations = baselines.multiply_accumulates(contender.network)
        parameters = baselines.parameter_count(contender.network)
    else:
        operations = multiply_accumulates(contender.architecture, session.shape)
        parameters = parameter_count(contender.architecture, session.shape, session.config.retrain.layer_norm)
    return {
        "name": contender.name,
        "kind": "baseline" if contender.supernet_score is None else "winner",
        "title": contender.title,
        "architecture": contender.architecture and contender.architecture.to_json(),
        "supernet_score": contender.supernet_score,
        "multiply_accumulates": operations,
        "parameters": parameters,
        "valid": trained.valid.to_json(),
        "test": trained.test.to_json(),
    }


if __name__ == "__main__":
    sys.exit(run_program(retrain, "pipeline.retrain"))
