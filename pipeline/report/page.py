"""Builds the report: reads a run's folder, makes the pictures and tables, fills the template, writes report.html."""

import importlib.metadata
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from modules.space import Architecture, InputShape, multiply_accumulates
from pipeline.report.drawing.architecture_svg import draw_svg
from pipeline.report.drawing.codesign_plots import energy_breakdown, pareto_panels
from pipeline.report.drawing.figure import Picture
from pipeline.report.drawing.search_plots import (
    loss_over_cost,
    score_against_retrained,
    scored_models,
    search_progress,
    training_curves,
)
from pipeline.report.drawing.wiring import dead_parts
from pipeline.report.run_records import RunRecords, read_run
from pipeline.report.tables import all_tables, compared_energy, timings_table
from pipeline.report.words import (
    best_baseline,
    caveats,
    difference,
    headline,
    millions,
    ratio,
    significant,
)
from pipeline.run.files import atomic_write
from pipeline.run.records.candidates import best_candidates
from pipeline.run.records.codesign import LOG_LOSS_TOLERANCE, Codesign
from pipeline.run.records.results import Metrics, ModelResult, Results

_PACKAGES = ("torch", "torchrec", "fbgemm-gpu", "fbgemm-gpu-cpu", "torchx", "pyarrow", "iopath")
_ABSENT = {
    "architecture": "No architecture to draw: neither results.json, winners.json nor candidates.jsonl has one yet.",
    "progress": "No candidate is scored: candidates.jsonl is absent or empty.",
    "cost": "No model is retrained and tested: results.json is absent.",
    "ranking": "Fewer than two retrained models have a supernet score, so how well it ranks cannot be said.",
    "pareto": "No ReRAM mapping was searched: codesign.json is absent.",
    "energy": "Where the energy goes is not known: codesign.json has no breakdown.",
    "tables": "No tables: results.json and codesign.json are absent.",
    "training": "No training curve: metrics.jsonl is absent or empty.",
    "timings": "No timings: timings.json is absent or empty.",
}


@dataclass(frozen=True)
class Card:
    """One of the large figures at the top."""

    name: str
    value: str
    unit: str
    note: str


def write_report(run_folder: Path, command: str) -> Path:
    """Write `run_folder`/report.html from the run's files and return its path.

    `command` is shown as the command that made the run. The same files and command give the same bytes. Raises
    ValueError when the folder is no run's or a file in it is broken.
    """
    run = read_run(run_folder)
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    html = environment.get_template("report.html.j2").render(page=_page(run, command))
    path = run_folder / "report.html"
    with atomic_write(path, text=True) as handle:
        handle.write(html + "\n")
    return path


def _page(run: RunRecords, command: str) -> dict[str, Any]:
    """Everything the template shows."""
    results, codesign = run.results, run.codesign
    title, architecture, others = _architectures(run)
    return {
        "run": run.name,
        "subtitle": _subtitle(run),
        "headline": headline(run),
        "caveats": caveats(results) if results else [],
        "cards": _cards(results, codesign),
        "architecture_title": title,
        "architecture": architecture,
        "other_architectures": others,
        "progress": search_progress(run) if run.scored else None,
        "cost": loss_over_cost(run, results) if results else None,
        "ranking": score_against_retrained(results) if results and len(scored_models(results)) > 1 else None,
        "codesign_lead": _codesign_lead(run, codesign) if codesign else "",
        "pareto": pareto_panels(codesign) if codesign else None,
        "energy": energy_breakdown(codesign) if codesign and codesign.naive.energy_breakdown_nj else None,
        "tables": all_tables(results, codesign),
        "training": training_curves(run) if run.metrics else None,
        "command": command,
        "data": _data_facts(run),
        "versions": _versions(),
        "timings": timings_table(run.timings) if run.timings else None,
        "config": json.dumps(run.config, indent=1, ensure_ascii=False),
        "absent": _ABSENT,
        "footer": f"Absent from this run: {', '.join(run.missing)}." if run.missing else "",
    }


def _subtitle(run: RunRecords) -> str:
    parts = []
    if run.winners:
        parts.append(f"{run.winners.space}, searched by {run.winners.strategy.replace('_', ' ')}")
    if run.candidates:
        parts.append(f"{len(run.candidates):,} candidates")
    if run.results:
        parts.append(f"{run.results.train_rows:,} training rows")
    return " · ".join(parts) or "in progress"


def _architectures(run: RunRecords) -> tuple[str, Picture | None, list[Picture]]:
    """The title of the section, the best architecture, and the others that were retrained or found."""
    if run.results:
        models = (run.results.best_model, *run.results.models)
        drawn = list(dict.fromkeys((model.title, model.architecture) for model in models if model.architecture))
        title = "The winner"
    elif run.winners:
        drawn = [(f"Winner {place}", one.architecture) for place, one in enumerate(run.winners.winners, start=1)]
        title = "The winner of the search"
    elif run.scored:
        (best,) = best_candidates(run.scored, 1)
        drawn, title = [(f"Candidate {best.index}", best.architecture)], "The best candidate so far"
    else:
        return "The architecture", None, []
    pictures = [_architecture(name, architecture, run.shape) for name, architecture in drawn]
    return title, pictures[0], pictures[1:]


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


def _cards(results: Results | None, codesign: Codesign | None) -> list[Card]:
    cards = []
    if results:
        best, baseline = results.best_model, best_baseline(results)
        cards += [
            Card(
                "Test log loss",
                f"{best.test.log_loss:.4f}",
                "nats",
                _beside(best, baseline, lambda metrics: metrics.log_loss),
            ),
            Card("AUC", _auc(best), "", _beside(best, baseline, lambda test: test.auc)),
            Card("Cost", millions(best.multiply_accumulates), "MMACs", "million multiply-accumulates per row"),
            Card("Parameters", significant(best.parameters / 1e6), "M", "dense part, tables not counted"),
        ]
    if codesign:
        naive, chosen = codesign.naive, codesign.chosen
        energy = ratio(naive.energy_nj, chosen.energy_nj, "less", "more")
        latency = ratio(naive.latency_us, chosen.latency_us, "faster", "slower")
        cards += [
            Card("ReRAM energy", significant(chosen.energy_nj), "nJ per row", f"{energy} than naive W8A8"),
            Card("ReRAM latency", significant(chosen.latency_us), "µs", f"{latency} than naive W8A8"),
        ]
    return [Card(one.name, one.value, one.unit, one.note.replace("the same than", "the same as")) for one in cards]


def _auc(model: ModelResult) -> str:
    return "–" if model.test.auc is None else f"{model.test.auc:.4f}"


def _beside(best: ModelResult, baseline: ModelResult | None, metric: Callable[[Metrics], float | None]) -> str:
    value = metric(best.test)
    other = None if baseline is None else metric(baseline.test)
    if baseline is None or value is None or other is None:
        return best.title
    return f"{difference(value - other)} to {baseline.title}"


def _codesign_lead(run: RunRecords, codesign: Codesign) -> str:
    titles = {model.name: model.title for model in run.results.of_kind("winner")} if run.results else {}
    chosen = codesign.chosen
    text = f"{titles.get(codesign.model, codesign.model)} on a chip with the {codesign.preset} constants. "
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
        ]
    elif data.get("schema"):
        facts.append(("schema", str(data["schema"])))
    if run.shape is not None:
        facts.append(("embedding width", str(run.shape.embedding_width)))
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
