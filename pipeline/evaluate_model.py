"""How an exported model does on newer rows: python -m pipeline.evaluate_model PATH/model.pt --data.path newer/

Reads the log as serving would feed the model (its vocabularies and rules; unknown values are unknown), scores all rows,
and writes evaluation.json and evaluation.html: overall beside the export's own test figures, by file and by field.
"""

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from pipeline.data.formats.prepared import file_name
from pipeline.data.formats.reader import write_quarantine
from pipeline.evaluation.exported import open_export
from pipeline.evaluation.log import LogConfig, open_log
from pipeline.evaluation.measure import GroupConfig, measure
from pipeline.evaluation.page import write_page
from pipeline.evaluation.words import terminal_lines
from pipeline.run.records.codec import write_record

RECORD, PAGE, QUARANTINE = "evaluation.json", "evaluation.html", "quarantine.jsonl"


@dataclass(frozen=True)
class EvaluateConfig:
    """Judge an exported model on a newer log."""

    model: tyro.conf.Positional[str]
    """model.pt of an export, or the folder that holds it; also --model. It is run: give one that you trust."""
    data: LogConfig
    """The newer log."""
    groups: GroupConfig = field(default_factory=GroupConfig)
    """How finely rows are grouped by field."""
    output: str = ""
    """Folder for evaluation.json and evaluation.html, made if absent. Empty: evaluations/<the log's name> beside the
    model."""
    overwrite: bool = False
    """Replace an evaluation that is in the folder already."""


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code. What a user did wrong is one line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        config = tyro.cli(
            EvaluateConfig, prog="pipeline.evaluate_model", description=__doc__, args=_with_model_first(given)
        )
        print(evaluate(config, f"python -m pipeline.evaluate_model {shlex.join(given)}"))
    except (ValueError, OSError) as error:
        print(f"pipeline.evaluate_model: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pipeline.evaluate_model: stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


def _with_model_first(arguments: list[str]) -> list[str]:
    """`--model PATH` as PATH, which is how the command line is read.

    >>> _with_model_first(["--data.path", "newer/", "--model", "model.pt"])
    ['model.pt', '--data.path', 'newer/']
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model")
    found, others = parser.parse_known_args(arguments)
    return others if found.model is None else [found.model, *others]


if __name__ == "__main__":
    sys.exit(main())
