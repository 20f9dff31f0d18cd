"""pipeline/run/records/progress.py: records of a run's progress come back from their files exactly."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.run.folder import RunFolder
from pipeline.run.records.codec import from_plain, read_lines, read_record, to_plain, write_lines, write_record
from pipeline.run.records.progress import MetricsLine, StageTiming, SupernetResult, Timings

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
LINE = MetricsLine("supernet", 2, 128, 0.1 + 0.2, 1e-5)


@settings(max_examples=30)
@given(st.dictionaries(st.text(), st.builds(StageTiming, NUMBERS, NUMBERS, NUMBERS)))
def test_timings_keep_their_order(stages: dict[str, StageTiming]) -> None:
    """Stages come back in the order in which they ran, whatever their names, to the last bit."""
    found = from_plain(to_plain(Timings(stages)), Timings, "here")
    assert list(found.stages.items()) == list(stages.items())


@pytest.mark.parametrize(
    "record", [Timings({"retrain/winner/winner_1": StageTiming(1.5, 2.0, 0.1)}), SupernetResult(0.25)]
)
def test_files(tmp_path: Path, record: object) -> None:
    """What is written is read; each record has fields of its own, so one's file is not taken for the other's."""
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json", type(record)) == record
    other = SupernetResult if isinstance(record, Timings) else Timings
    with pytest.raises(ValueError, match=r"record\.json: .*(is missing|unknown fields)"):
        read_record(tmp_path / "record.json", other)


def test_metrics_lines(tmp_path: Path) -> None:
    """Lines come back in their order; a last line that a kill cut is left out of an appended file, and only there."""
    path = tmp_path / "metrics.jsonl"
    lines = [dataclasses.replace(LINE, step=step) for step in (2, 4, 6)]
    write_lines(path, lines)
    assert [line for _, line in read_lines(path, MetricsLine)] == lines
    path.write_bytes(path.read_bytes()[:-5])
    assert [line for _, line in read_lines(path, MetricsLine, appended=True)] == lines[:2]
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 3: not JSON"):
        list(read_lines(path, MetricsLine))


def test_a_stage_that_ran_twice_is_summed(tmp_path: Path) -> None:
    """A restart adds to a stage's seconds, keeps its highest peak, and leaves other stages' records as they are."""
    folder = RunFolder(tmp_path)
    before = Timings({"data": StageTiming(1.0, 1.0, 0.5), "supernet": StageTiming(1000.0, 2000.0, 1e6)})
    write_record(folder.timings, before)
    with folder.timed("supernet"):
        pass
    found = read_record(folder.timings, Timings).stages
    assert list(found) == list(before.stages) and found["data"] == before.stages["data"]
    assert found["supernet"].wall_s >= 1000 and found["supernet"].cpu_s >= 2000 and found["supernet"].peak_gb == 1e6
