"""The page that shows all runs of a folder side by side: index.html, with each run's answer, cost, curve and winner."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.report.drawing.architecture_svg import draw_svg
from pipeline.report.drawing.figure import Picture
from pipeline.report.drawing.runs_plots import best_so_far
from pipeline.report.page import shape_for
from pipeline.report.run_records import RunRecords, read_run
from pipeline.report.tables import ABSENT, optional
from pipeline.report.template import fill_template
from pipeline.report.words import difference, headline, millions, significant
from pipeline.run.folder import RunFolder

HEADS = (
    *("run", "log", "best model", "test log loss", "AUC", "to the best hand-made (95 %)", "MMACs", "tables MB"),
    *("trials", "rows trained (M)", "minutes"),
)
"""The table's columns."""
TEXT_COLUMNS = (0, 1, 2)
"""Those that are sorted as words."""


@dataclass(frozen=True)
class Cell:
    """What a column shows of a run, and what it is sorted by."""

    text: str
    """Shown."""
    value: float | str = ""
    """Sorted by; empty stands last."""


@dataclass(frozen=True)
class RunLine:
    """A run on the page."""

    name: str
    """The run's folder."""
    cells: tuple[Cell, ...]
    """One a column."""
    sentence: str
    """What was found, or how far the run is."""
    links: tuple[str, ...]
    """Files of the run worth opening, relative to the page."""
    winner: str
    """Its best model's architecture as SVG; empty while there is none."""


def write_runs_page(folder: Path) -> Path:
    """Write `folder`/index.html from all runs in the folder, and return its path.

    A run that cannot be read stands on the page with the reason. Raises ValueError for a folder without any.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give the one that holds the runs")
    paths = sorted(path for path in folder.iterdir() if RunFolder(path).config.is_file())
    if not paths:
        raise ValueError(f"{folder}: no runs there (folders with a config.json); give the folder that holds the runs")
    runs, broken = list[RunRecords](), list[tuple[str, str]]()
    for path in paths:
        try:
            runs.append(read_run(path))
        except ValueError as error:
            broken.append((path.name, str(error)))
    target = folder / "index.html"
    fill_template(target, "runs.html.j2", _page(folder, runs, broken))
    return target


def _page(folder: Path, runs: Sequence[RunRecords], broken: list[tuple[str, str]]) -> dict[str, Any]:
    """Everything the template shows."""
    return {
        "folder": folder.resolve().name,
        "heads": HEADS,
        "texts": TEXT_COLUMNS,
        "lines": [_line(folder, run) for run in runs],
        "broken": broken,
        "curves": _curves(runs),
    }


def _curves(runs: Sequence[RunRecords]) -> list[Picture]:
    """A picture for each log: runs on different rows do not compare."""
    logs = dict.fromkeys(log_of(run) for run in runs if any(trial.is_whole for trial in run.trials))
    return [
        best_so_far(log, [(run.name, run.trials) for run in runs if log_of(run) == log], place)
        for place, log in enumerate(logs)
    ]


def log_of(run: RunRecords) -> str:
    """The log of a run, in words: runs of one text read the same rows."""
    data = run.config.get("data", {})
    if data.get("path"):
        return f"{data['path']} ({data.get('split', 'auto')})"
    return f"generated, {data.get('rows', 0):,} rows, seed {data.get('seed', 0)}"


def _line(folder: Path, run: RunRecords) -> RunLine:
    files = RunFolder(folder / run.name)
    links = tuple(f"{run.name}/{path.name}" for path in (files.report, files.model) if path.is_file())
    winner = ""
    if run.results is not None:
        best = run.results.best_model
        winner = draw_svg(best.architecture, shape_for(run, best.recipe))
    return RunLine(run.name, _cells(run), headline(run), links, winner)


def _cells(run: RunRecords) -> tuple[Cell, ...]:
    rows, minutes = sum(trial.rows for trial in run.trials), sum(t.wall_s for t in run.timings.values()) / 60
    spent = (
        Cell(f"{len(run.trials):,}", len(run.trials)),
        Cell(significant(rows / 1e6), rows),
        Cell(significant(minutes), minutes),
    )
    own = Cell(run.name, run.name), Cell(log_of(run), log_of(run))
    if run.results is None:
        return (*own, *[Cell(ABSENT)] * 6, *spent)
    best = run.results.best_model
    return (
        *own,
        Cell(f"{best.title} ({best.kind})", best.title),
        Cell(f"{best.test.log_loss:.5f}", best.test.log_loss),
        Cell(optional(best.test.auc, ".5f"), "" if best.test.auc is None else -best.test.auc),
        _against_handmade(run),
        Cell(millions(best.multiply_accumulates), best.multiply_accumulates),
        Cell(significant(best.table_bytes / 1e6), best.table_bytes),
        *spent,
    )


def _against_handmade(run: RunRecords) -> Cell:
    """The best model's log loss less the best hand-made one's, with its interval."""
    assert run.results is not None
    best, handmade = run.results.best_model, run.results.best_handmade
    if handmade is best:
        return Cell("is hand-made", 0.0)
    found = None if handmade is None else run.results.comparison(handmade)
    if found is None:
        return Cell(ABSENT)
    text = f"{difference(found.difference)} ({difference(found.low)} to {difference(found.high)})"
    return Cell(text, found.difference)
