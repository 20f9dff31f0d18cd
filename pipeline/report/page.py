"""Builds the report: reads a run's folder, makes the pictures and tables, fills the template, writes report.html."""

import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

from modules.space import Architecture, InputShape, multiply_accumulates
from pipeline.report.cards import all_cards
from pipeline.report.drawing.architecture_svg import draw_svg
from pipeline.report.drawing.codesign_plots import energy_breakdown, pareto_panels
from pipeline.report.drawing.figure import Picture
from pipeline.report.drawing.model_plots import score_against_retrained, scored_models, training_curves
from pipeline.report.drawing.race_plots import race_progress, what_mattered
from pipeline.report.drawing.rank_plots import rank_panels
from pipeline.report.drawing.search_plots import loss_over_cost, search_progress
from pipeline.report.drawing.style import KIND_TITLES
from pipeline.report.drawing.wiring import dead_parts
from pipeline.report.importance import FEWEST_TRIALS, comparable, fitted_importance
from pipeline.report.model_tables import all_contenders_table, contenders_table, costs_table, models_table
from pipeline.report.rank_tables import rank_study_table
from pipeline.report.run_records import RunRecords, read_run
from pipeline.report.tables import Table, codesign_tables, compared_energy, timings_table
from pipeline.report.template import fill_template
from pipeline.report.words import by_weight, counted, details, difference, headline, millions
from pipeline.run.records.candidates import best_candidates
from pipeline.run.records.codesign import LOG_LOSS_TOLERANCE, Codesign
from pipeline.run.records.race import Trial
from pipeline.run.records.recipe import Recipe, numbers_read

_PACKAGES = ("torch", "torchrec", "fbgemm-gpu", "fbgemm-gpu-cpu", "torchx", "pyarrow", "iopath")
_TRACKS = {
    "tuned": "embedding width, passes and how tables are trained are open to every contender",
    "one_pass": "every contender has a single pass over the rows",
}
"""The race's tracks in words."""
_ABSENT = {
    "architecture": "No architecture to draw: no file has one yet (results.json, race.json, winners.json, "
    "candidates.jsonl).",
    "progress": "No candidate is scored: candidates.jsonl is absent or empty.",
    "race": "No network is trained from scratch yet: race.jsonl is absent or empty.",
    "cost": "No model is retrained and tested: results.json is absent.",
    "ranking": "Fewer than two retrained models have a supernet score, so how well it ranks cannot be said.",
    "pareto": "No ReRAM mapping was searched: codesign.json is absent.",
    "energy": "Where the energy goes is not known: codesign.json has no breakdown.",
    "tables": "No tables: results.json, race.jsonl and codesign.json are absent.",
    "training": "No training curve: no stage has left a metrics.jsonl in its folder of checkpoints, or all are empty.",
    "timings": "No timings: timings.json is absent or empty.",
}


def write_report(run_folder: Path, command: str) -> Path:
    """Write `run_folder`/report.html from the run's files and return its path.

    `command` is shown as the command that made the run. The same files and command give the same bytes. Raises
    ValueError when the folder is no run's or a file in it is broken.
    """
    run = read_run(run_folder)
    path = run_folder / "report.html"
    fill_template(path, "report.html.j2", _page(run, command))
    return path


def _page(run: RunRecords, command: str) -> dict[str, Any]:
    """Everything the template shows."""
    results, codesign = run.results, run.codesign
    title, architecture, others = _architectures(run)
    ranked = results is not None and len(scored_models(results)) > 1
    mattered, too_few = _importance(run.trials)
    return {
        "run": run.name,
        "subtitle": _subtitle(run),
        "headline": headline(run),
        "details": [*_weights_said(run), *details(results, run.trees)] if results else [],
        "cards": all_cards(results, codesign),
        "architecture_title": title,
        "architecture": architecture,
        "other_architectures": others,
        "progress": search_progress(run) if run.scored else None,
        "race_lead": _race_lead(run),
        "race": race_progress(run.trials) if run.trials else None,
        "importance": mattered,
        "too_few": too_few,
        "cost": loss_over_cost(run, results, alone=not ranked) if results else None,
        "rank_study": rank_panels(run.rank_study) if run.rank_study else None,
        "rank_table": rank_study_table(run.rank_study) if run.rank_study else None,
        "ranking": score_against_retrained(results) if results and ranked else None,
        "codesign_lead": _codesign_lead(run, codesign) if codesign else "",
        "pareto": pareto_panels(codesign) if codesign else None,
        "energy": energy_breakdown(codesign) if codesign and codesign.naive.energy_breakdown_nj else None,
        "tables": _tables(run),
        "training": training_curves(run) if run.metrics else None,
        "command": command,
        "data": _data_facts(run),
        "versions": _versions(),
        "timings": timings_table(run.timings) if run.timings else None,
        "config": json.dumps(run.config, indent=1, ensure_ascii=False),
        "absent": _ABSENT,
        "footer": f"Absent from this run: {', '.join(run.missing)}." if run.missing else "",
    }


def _weights_said(run: RunRecords) -> list[str]:
    """That figures are weighted, where they are."""
    return [by_weight(run.schema.weight)] if run.schema is not None and run.schema.weight else []


def _subtitle(run: RunRecords) -> str:
    parts = []
    if run.winners:
        parts.append(f"{run.winners.space}, searched by {run.winners.strategy.replace('_', ' ')}")
    if run.candidates:
        parts.append(f"{len(run.candidates):,} candidates")
    if run.trials:
        parts.append(counted(len(run.trials), "trial"))
    if run.results:
        parts.append(f"{run.results.train_rows:,} training rows")
    return " · ".join(parts) or "in progress"


def _architectures(run: RunRecords) -> tuple[str, Picture | None, list[Picture]]:
    """The title of the section, the best architecture, and the others that were retrained or found."""
    drawn: list[tuple[str, Architecture, InputShape | None]]
    if run.results:
        models, title = (run.results.best_model, *run.results.models), "The winner"
        drawn = [
            (f"{model.title} ({KIND_TITLES[model.kind]})", model.architecture, shape_for(run, model.recipe))
            for model in dict.fromkeys(models)
        ]
    elif run.race:
        finalists, title = sorted(run.race.finalists, key=lambda one: one.valid_log_loss), "The leader of the race"
        drawn = [(one.name, one.architecture, shape_for(run, one.recipe)) for one in finalists]
    elif run.winners:
        found, title = enumerate(run.winners.winners, start=1), "The winner of the search"
        drawn = [(f"Winner {place}", one.architecture, run.shape) for place, one in found]
    elif run.scored:
        (best,) = best_candidates(run.scored, 1)
        drawn, title = [(f"Candidate {best.index}", best.architecture, run.shape)], "The best candidate so far"
    else:
        return "The architecture", None, []
    pictures = [_architecture(*one) for one in drawn]
    return title, pictures[0], pictures[1:]


def shape_for(run: RunRecords, recipe: Recipe) -> InputShape | None:
    """What a row gives a network of the recipe; None while the schema is not known."""
    if run.shape is None:
        return None
    integers = numbers_read(recipe.numbers, run.shape.integers)
    return InputShape(integers, run.shape.fields, recipe.embedding_width, table_widths=recipe.table_widths)


def _architecture(name: str, architecture: Architecture, shape: InputShape | None) -> Picture:
    dead = dead_parts(architecture)
    caption = (
        "From left to right, dense operators above, sparse ones below. Every wire begins where its output is made; a "
        "rounded corner is a branch, a plain crossing is not."
    )
    if shape is not None:
        caption += f" {millions(multiply_accumulates(architecture, shape))} million multiply-accumulates per row."
    if dead:
        caption += f" Reaches nothing, so is neither built, computed nor counted: {', '.join(dead)}."
    return Picture(draw_svg(architecture, shape), name, caption)


def _race_lead(run: RunRecords) -> str:
    """What the race was, and what each kind of contender was given."""
    if not run.trials:
        return ""
    text = ""
    if run.race is not None:
        text = f"Track {run.race.track}: {_TRACKS.get(run.race.track, 'the same recipes open to all')}. "
    kinds = [kind for kind in KIND_TITLES if any(trial.kind == kind for trial in run.trials)]
    shares = []
    for kind in kinds:
        own = [trial for trial in run.trials if trial.kind == kind]
        rows = sum(trial.rows for trial in own)
        shares.append(f"{KIND_TITLES[kind]} {counted(len(own), 'trial')} and {rows:,} rows")
    return f"{text}By kind: {'; '.join(shares)}."


def _importance(trials: Sequence[Trial]) -> tuple[Picture | None, str]:
    """The picture of what mattered, or why there is none."""
    if not trials:
        return None, ""
    found = fitted_importance(trials, numpy.random.default_rng(0))
    if found is not None and found.explained > 0:
        return what_mattered(found), ""
    if found is not None:
        return None, (
            "What mattered cannot be said: a fit over recipe and architecture explains none of the variance of "
            f"{found.trials} trials of contenders that it has not seen."
        )
    return None, (
        f"What mattered cannot be said: that takes {FEWEST_TRIALS} trials of several contenders on equal shares of the "
        f"rows, with choices that differ among them; the race has {len(comparable(trials))} such trials."
    )


def _tables(run: RunRecords) -> list[Table]:
    """The tables of what there is."""
    found = [] if run.results is None else [models_table(run.results), costs_table(run.results)]
    if run.trials:
        found += [table for table in (contenders_table(run.trials), all_contenders_table(run.trials)) if table.rows]
    return found if run.codesign is None else [*found, *codesign_tables(run.codesign)]


def _codesign_lead(run: RunRecords, codesign: Codesign) -> str:
    models = (run.results.best_model, *run.results.models) if run.results else ()
    title = next((model.title for model in models if model.name == codesign.model), codesign.model)
    chosen = codesign.chosen
    text = f"{title} on a chip with the {codesign.preset} constants. "
    text += f"The chosen mapping ({chosen.label}) against the naive W8A8 one: {compared_energy(codesign)}"
    if chosen.log_loss is not None and codesign.naive.log_loss is not None:
        text += f", {difference(chosen.log_loss - codesign.naive.log_loss)} log loss"
    text += ". It is the Pareto point of least energy × latency among those within "
    text += f"{LOG_LOSS_TOLERANCE} log loss of the naive one, or of least log loss if there is none. "
    text += f"Log loss is measured with quantized weights and activations on {codesign.quality_rows:,} validation "
    return text + "rows; costs are simulated from published constants, not measured on silicon."


def _data_facts(run: RunRecords) -> list[tuple[str, str]]:
    data, schema = run.config.get("data", {}), run.schema
    facts = [("source", str(data.get("path") or "the embedded generator"))]
    if schema is not None:
        facts += [
            ("schema", schema.name),
            ("integer columns", str(schema.num_integers)),
            ("categorical columns", str(schema.num_categories)),
            ("embedding rows", f"{sum(schema.table_sizes):,} in all tables"),
            *([("weights of rows", f"column {schema.weight!r}")] if schema.weight else []),
        ]
    elif data.get("schema"):
        facts.append(("schema", str(data["schema"])))
    facts += [(f"{name} rows are from", f"{first} to {last}") for name, (first, last) in run.split_times.items()]
    if run.config.get("warm_start"):
        facts.append(("trained on from", str(run.config["warm_start"])))
    if run.shape is not None:
        facts.append(("embedding width", f"{run.shape.embedding_width} of the supernet"))
    if run.results:
        facts += [
            ("training rows", f"{run.results.train_rows:,}"),
            ("test rows", f"{run.results.test_rows:,}"),
            ("clicks", f"{run.results.label_ratio:.2%} of the rows"),
        ]
    return facts


def _versions() -> list[tuple[str, str]]:
    """Python and the packages that computed; those that are not installed are left out."""
    found = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
