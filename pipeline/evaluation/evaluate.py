"""The work of `python -m pipeline.evaluate_model`: an export opened, a newer log scored, the evaluation written."""

import os
import tempfile
from pathlib import Path

from pipeline.data.formats.prepared import file_name
from pipeline.data.formats.reader import write_quarantine
from pipeline.evaluation.config import EvaluateConfig
from pipeline.evaluation.exported import open_export
from pipeline.evaluation.log import open_log
from pipeline.evaluation.measure import measure
from pipeline.evaluation.page import write_page
from pipeline.evaluation.words import terminal_lines
from pipeline.run.records.codec import write_record

RECORD, PAGE, QUARANTINE = "evaluation.json", "evaluation.html", "quarantine.jsonl"


def evaluate(config: EvaluateConfig, command: str) -> str:
    """Evaluate and write; returns what to print. Raises ValueError for a model, log or output that is not right."""
    export = open_export(config.model)
    folder = Path(config.output) if config.output else export.path.parent / "evaluations" / log_name(config.data.path)
    _check_free(folder, config.overwrite)
    with tempfile.TemporaryDirectory() as scratch:
        log = open_log(config.data, export, Path(scratch))
        found = measure(export, log, config.data.path, config.groups)
    _check_free(folder, config.overwrite)  # another may have written meanwhile
    folder.mkdir(parents=True, exist_ok=True)
    if log.bad_lines:
        write_quarantine(folder / QUARANTINE, log.bad_lines)
    write_record(folder / RECORD, found)
    write_page(folder / PAGE, found, export.schema.label, command)
    return "\n".join([*terminal_lines(found), f"page       {folder / PAGE}"])


def log_name(path: str) -> str:
    """A log's name as that of a folder.

    >>> log_name("logs/newer/"), log_name("s3://bucket/day_*.tsv")
    ('newer', 'day_%2A%2Etsv')
    """
    return file_name(path.rstrip("/").rpartition("/")[2]) or "log"


def _check_free(folder: Path, overwrite: bool) -> None:
    """Raise ValueError where something is there that is not to be replaced, or nothing can be written."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output {folder} is a file; give a folder")
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(nearest, os.W_OK):
        raise ValueError(f"{nearest} cannot be written into; give another --output")
    there = [name for name in (RECORD, PAGE, QUARANTINE) if (folder / name).exists()]
    if there and not overwrite:
        raise ValueError(f"{folder} has {' and '.join(there)} already; give another --output, or --overwrite")
