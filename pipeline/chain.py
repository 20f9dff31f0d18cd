"""The whole chain: python -m pipeline.chain [named run] [--run NAME] [--data.path ...] [--help]

What `torchx run launch/search.py` starts. Every stage reads and writes the run's folder, can be stopped at any moment
and resumes when the same command is given again; a stage that is finished only prints what it found.
"""

import sys

from pipeline.command_line import run_program

if __name__ == "__main__":  # first: the command line is read before the imports below, which take seconds
    sys.exit(run_program("pipeline.chain:run_chain", "pipeline.chain"))

import shlex
from collections.abc import Callable
from typing import Any

from pipeline.codesign import codesign
from pipeline.config import ExportConfig
from pipeline.export import chosen_model, export_best
from pipeline.race.config import RaceConfig
from pipeline.race.stage import race
from pipeline.report import draw_text, write_report
from pipeline.retrain import retrain
from pipeline.run.architecture_files import read_architectures
from pipeline.run.records.results import Results
from pipeline.search.stage import search_supernet
from pipeline.session import Session
from pipeline.train import train_supernet
from pipeline.training.standalone import with_recipe
from pipeline.training.workers import workers
from pipeline.trees import fit_trees


def run_chain(session: Session) -> None:
    """Data → supernet → search (on large logs) → race → retrain → trees → co-design → export → report."""
    given = session.config.retrain.architectures
    session.processes.on_first(lambda: read_architectures(given, session.space))  # an error now, not after hours
    describe_data(session)
    if session.config.warm_start:
        session.say(f"supernet   none: the model of {session.config.warm_start} is trained on")
    elif session.config.race.wants_supernet(session.dataset.rows("train")):
        _timed(session, "supernet", train_supernet)
        _timed(session, "search", search_supernet)
    else:
        session.say(without_supernet(session.config.race, session.dataset.rows("train")))
    with workers(session) as team:
        _timed(session, "race", lambda own: race(own, team))
        _timed(session, "retrain", lambda own: retrain(own, team))
    _timed(session, "trees", fit_trees)
    _timed(session, "codesign", codesign)
    _timed(session, "export", export_best)
    report = session.processes.on_first(lambda: write_report(session.folder.path, command_line()))
    results = session.read(session.folder.results, Results)
    best = results.best_model
    session.say("\n" + draw_text(best.architecture, with_recipe(session, best.recipe).shape))
    session.say(
        f"\nfound      {best.title}; model {session.folder.model}{exported(results, session.config.export)}; "
        f"report {report}"
    )


def exported(results: Results, export: ExportConfig) -> str:
    """What model.pt holds, in words, where it is not one training of the best model."""
    model = chosen_model(results, export.model)
    which = [f"{model.title}, as asked"] if model is not results.best_model else []
    which += [f"the mean of {len(model.seeds)} trainings"] if export.ensemble and len(model.seeds) > 1 else []
    return f" ({'; '.join(which)})" if which else ""


def without_supernet(config: RaceConfig, train_rows: int) -> str:
    """Why the chain trains no supernet, as a line for the terminal."""
    if not config.from_supernet:
        return "supernet   none: race.from_supernet is 0"
    return (
        f"supernet   none: on {train_rows:,} training rows, under race.supernet_rows {config.supernet_rows:,}, its "
        "scores do not rank networks; the race trains them from scratch"
    )


def describe_data(session: Session) -> None:
    """Print what the rows are."""
    dataset = session.dataset
    rows = ", ".join(f"{dataset.rows(split):,} {split}" for split in ("train", "valid", "test"))
    schema = dataset.schema
    lists = f" ({len(schema.lists)} lists)" if schema.lists else ""
    session.say(
        f"data       {schema.name}: {schema.num_integers} integers, {schema.num_categories} categories{lists}; "
        f"{rows}; {sum(schema.table_sizes):,} table rows; {session.processes.world_size} process(es), "
        f"{session.processes.device.type}"
    )


def command_line() -> str:
    """The command that started this program, as one would type it."""
    return f"python -m pipeline.chain {shlex.join(sys.argv[1:])}".strip()


def _timed(session: Session, name: str, stage: Callable[[Session], Any]) -> None:
    if not session.processes.is_first:
        stage(session)
        return
    with session.folder.timed(name):
        stage(session)
