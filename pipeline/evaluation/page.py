"""evaluation.html: one self-contained page of how an exported model does on newer rows."""

from pathlib import Path
from typing import Any

from pipeline.evaluation.pictures import files_picture, reliability_picture
from pipeline.evaluation.tables import (
    field_tables,
    fields_table,
    files_table,
    metrics_table,
    reliability_table,
    worst_table,
)
from pipeline.evaluation.words import details, headline, short_name
from pipeline.report.cards import Card
from pipeline.report.template import fill_template
from pipeline.report.words import difference
from pipeline.run.records.evaluation import ModelEvaluation


def write_page(path: Path, found: ModelEvaluation, label: str, command: str) -> None:
    """Write the page; the same evaluation gives the same bytes. `label`: the column that the model predicts; `command`:
    what made it."""
    fill_template(path, "evaluation.html.j2", _page(found, label, command), Path(__file__).parent)


def _page(found: ModelEvaluation, label: str, command: str) -> dict[str, Any]:
    """Everything the template shows."""
    values = "table rows of a prepared log" if found.is_prepared else "values as the log has them"
    return {
        "log": short_name(found.log),
        "subtitle": f"{len(found.files):,} file{'s' * (len(found.files) != 1)} · predicts {label}",
        "headline": headline(found),
        "details": details(found),
        "cards": _cards(found),
        "metrics": metrics_table(found),
        "reliability": reliability_picture(found),
        "reliability_table": reliability_table(found),
        "files": files_picture(found) if len(found.files) > 1 else None,
        "files_table": files_table(found),
        "worst": worst_table(found),
        "fields": fields_table(found),
        "field_tables": field_tables(found),
        "facts": [
            ("model", found.model.path),
            ("its SHA-256", found.model.file.sha256),
            ("log", found.log),
            (
                "categories",
                f"{values}; calibration is predicted over observed clicks, and deviations are their "
                "difference in standard deviations of the clicks if the predictions are right",
            ),
        ],
        "command": command,
    }


def _cards(found: ModelEvaluation) -> list[Card]:
    """The metrics, with what the export's test rows gave."""
    metrics = found.overall.metrics

    def card(name: str, title: str, unit: str, form: str) -> Card:
        value, change = getattr(metrics, name), found.overall.difference(name)
        note = "" if change is None else f"{change.export:{form}} on its test rows ({difference(change.difference)})"
        return Card(title, format(value, form), unit, note)

    return [
        card("log_loss", "Log loss", "nats", ".4f"),
        card("auc", "AUC", "", ".4f"),
        card("normalized_entropy", "Normalized entropy", "", ".4f"),
        card("calibration", "Calibration", "", ".3f"),
        Card("Calibration error", f"{found.expected_calibration_error:.4f}", "", "mean over deciles of the prediction"),
    ]
