"""All candidates of a finished search as a Parquet file with named columns, for pandas and its like."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow
from pyarrow import parquet

from pipeline.run.files import atomic_write
from pipeline.run.records.candidates import Candidate

COLUMNS = {
    "index": pyarrow.int64(),
    "generation": pyarrow.int64(),
    "state": pyarrow.string(),
    "reason": pyarrow.string(),
    "log_loss": pyarrow.float64(),
    "multiply_accumulates": pyarrow.int64(),
    "parameters": pyarrow.int64(),
    "table_bytes": pyarrow.int64(),
    "latency_us": pyarrow.float64(),
    "judged_rows": pyarrow.int64(),
    "standard_error": pyarrow.float64(),
    "architecture": pyarrow.string(),
}
"""Column -> type: the fields of `Candidate` (`score` as log_loss, null without one); the architecture is its JSON."""


def write_candidates_table(path: Path, candidates: Sequence[Candidate]) -> None:
    """Write candidates.parquet atomically, a row for each candidate, in order."""
    other = {
        "log_loss": lambda candidate: candidate.score,
        "architecture": lambda candidate: json.dumps(candidate.architecture.to_json()),
    }
    columns = {
        name: [other[name](one) if name in other else getattr(one, name) for one in candidates] for name in COLUMNS
    }
    with atomic_write(path) as file:
        parquet.write_table(pyarrow.table(columns, schema=pyarrow.schema(list(COLUMNS.items()))), file)
