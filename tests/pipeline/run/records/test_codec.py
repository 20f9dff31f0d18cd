"""Records as JSON: strict in types, fields and format, each error with its file and field."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.run.records.codec import (
    RUN_FORMAT,
    append_lines,
    check_run_format,
    drop_cut_line,
    from_plain,
    line_of,
    read_lines,
    read_record,
    to_plain,
    write_record,
)
from pipeline.run.records.progress import MetricsLine, StageTiming, SupernetResult, Timings
from pipeline.run.records.results import Metrics

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.builds(Metrics, NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS, st.integers(1)))
def test_plain_values_give_the_record_back(metrics: Metrics) -> None:
    """Through JSON text and back, every number to the last bit and None as null."""
    assert from_plain(json.loads(json.dumps(to_plain(metrics))), Metrics, "here") == metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wall_s": "4"}, 'field "stages[\'train\'].wall_s": found "4", expected a number'),
        ({"wall_s": True}, "found true, expected a number"),
        ({"wall_s": None}, "found null, expected a number"),
        ({"wall_s": float("inf")}, "found inf, expected a finite number"),
        ({"wall": 1.0}, "unknown fields ['wall']; known are ['wall_s', 'cpu_s', 'peak_gb']"),
    ],
)
def test_wrong_fields_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """The error has the file, the field, what was found, what was expected and what to do."""
    stage = {"wall_s": 1.0, "cpu_s": 2, "peak_gb": 0.5, **change}
    path = tmp_path / "timings.json"
    path.write_text(json.dumps({"format": RUN_FORMAT, "stages": {"train": stage}}))
    with pytest.raises(ValueError) as raised:
        read_record(path, Timings)
    assert str(raised.value).startswith(f"{path}: field ") and message in str(raised.value)
    assert str(raised.value).endswith("repair the file, or remove it: the same command writes it again")


@pytest.mark.parametrize("value", [3, "text", [], None])
def test_containers_are_not_taken_for_others(tmp_path: Path, value: Any) -> None:
    """A number, text, list or null where an object belongs, at the top or below, is an error."""
    path = tmp_path / "timings.json"
    for document in (value, {"format": RUN_FORMAT, "stages": value}, {"format": RUN_FORMAT, "stages": {"a": value}}):
        path.write_text(json.dumps(document))
        with pytest.raises(ValueError, match=r"timings\.json: .*expected an object"):
            read_record(path, Timings)


def test_a_document_begins_with_its_format(tmp_path: Path) -> None:
    """Another format, or none, is refused with both versions."""
    path = tmp_path / "result.json"
    write_record(path, SupernetResult(0.5))
    document = json.loads(path.read_text())
    assert list(document.items()) == [("format", RUN_FORMAT), ("valid_log_loss", 0.5)]
    for found in ({**document, "format": 99}, {"valid_log_loss": 0.5}):
        path.write_text(json.dumps(found))
        with pytest.raises(ValueError, match=rf"'format': found (99|null), this version reads {RUN_FORMAT}"):
            read_record(path, SupernetResult)


def test_what_json_cannot_hold_is_not_written(tmp_path: Path) -> None:
    """NaN is a ValueError, and the file stays as it was."""
    path = tmp_path / "timings.json"
    write_record(path, Timings({}))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        write_record(path, Timings({"a": StageTiming(float("nan"), 0.0, 0.0)}))
    assert path.read_bytes() == before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error says which file does not exist."""
    with pytest.raises(ValueError, match=r"timings\.json does not exist; run the stage that writes it"):
        read_record(tmp_path / "timings.json", Timings)


def test_appended_lines(tmp_path: Path) -> None:
    """Lines are added behind those that are there; a line that was cut is removed, and nothing of a whole one. A full
    disk is an OSError that names the file and says what to do."""
    path, (first, second, third) = tmp_path / "lines.jsonl", [StageTiming(float(index), 1.0, 1.0) for index in range(3)]
    drop_cut_line(path)
    assert not path.exists()
    append_lines(path, [first, second])
    append_lines(path, [third])
    whole = path.read_bytes()
    assert whole.decode() == "".join(map(line_of, (first, second, third)))
    drop_cut_line(path)
    assert path.read_bytes() == whole
    for kept, size in ((2, len(whole) - 1), (2, len(whole) - 9), (0, 3)):
        path.write_bytes(whole[:size])
        drop_cut_line(path)
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:kept])
    with pytest.raises(OSError, match=r"No space left on device while writing; make room .*: '/dev/full'"):
        append_lines(Path("/dev/full"), [first])


def test_lines(tmp_path: Path) -> None:
    """Lines come back with their text; where lines are appended, one that was cut is left out, else it is an error."""
    path = tmp_path / "metrics.jsonl"
    records = [MetricsLine("supernet", step, 64 * step, 0.5, 0.01) for step in range(3)]
    assert list(read_lines(path, MetricsLine)) == []
    path.write_text("".join(map(line_of, records))[:-5])
    read = list(read_lines(path, MetricsLine, appended=True))
    assert read == [(line_of(record), record) for record in records[:2]]
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 3: not JSON: .*; repair or remove the line"):
        list(read_lines(path, MetricsLine))
    path.write_text(line_of(records[0]) + "{}\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: field 'stage': is missing"):
        list(read_lines(path, MetricsLine))


@pytest.mark.parametrize("config", [{}, {"format": RUN_FORMAT - 1}, {"format": str(RUN_FORMAT)}, []])
def test_a_run_of_another_version(config: Any) -> None:
    """One line that names the run, the versions and what to do."""
    with pytest.raises(ValueError, match=r"^runs/a was begun with another version of this program: config") as raised:
        check_run_format(config, Path("runs/a/config.json"))
    assert "\n" not in str(raised.value) and "begin a new run" in str(raised.value)
    check_run_format({"format": RUN_FORMAT}, Path("runs/a/config.json"))
