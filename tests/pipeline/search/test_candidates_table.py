"""candidates.parquet holds what the candidates do, by named columns."""

import dataclasses
import json
from pathlib import Path

import numpy
from pyarrow import parquet

from modules.space import OPEN, Architecture, single_operator_any_connection
from pipeline.run.records.candidates import Candidate
from pipeline.search.candidates_table import COLUMNS, write_candidates_table


def test_rows_are_candidates(tmp_path: Path) -> None:
    """Each field of each candidate is in its column, the architecture's JSON gives it back, and what a candidate has
    not is null; written again the file is the same to the last byte, and with no candidate it has its columns."""
    generator = numpy.random.default_rng(0)
    one, two, three = (
        Candidate(index, 1, single_operator_any_connection(OPEN, generator), 0.1 + 0.2, 10, 2**40, table_bytes=7)
        for index in range(3)
    )
    two = dataclasses.replace(two, score=None, state="failed", reason="NaN")
    three = dataclasses.replace(three, latency_us=12.5, judged_rows=1000, standard_error=1e-4)
    path = tmp_path / "candidates.parquet"
    write_candidates_table(path, [one, two, three])
    found = parquet.read_table(path).to_pylist()
    assert [Architecture.from_json(json.loads(row.pop("architecture")), OPEN) for row in found] == [
        candidate.architecture for candidate in (one, two, three)
    ]
    for row, candidate in zip(found, (one, two, three), strict=True):
        assert row.pop("log_loss") == candidate.score
        assert row == {name: getattr(candidate, name) for name in row}
    fields = {field.name for field in dataclasses.fields(Candidate)}
    assert set(COLUMNS) == fields - {"score"} | {"log_loss"}
    before = path.read_bytes()
    write_candidates_table(path, [one, two, three])
    assert path.read_bytes() == before
    write_candidates_table(path, [])
    assert parquet.read_table(path).column_names == list(COLUMNS)
