"""metrics.jsonl: written line by line, and resumed without what a killed run left behind."""

import json
import resource
from pathlib import Path

import pytest

from pipeline.run.folder import RunFolder
from pipeline.run.metrics_log import MetricsLog
from pipeline.run.records.codec import line_of
from pipeline.run.records.progress import MetricsLine


def entry(stage: str, step: int) -> MetricsLine:
    """A line of metrics."""
    return MetricsLine(stage, step, 64 * step, 0.25, 0.1)


def lines(run: RunFolder) -> list[tuple[str, int]]:
    """Stage and step of each line of metrics.jsonl."""
    entries = [json.loads(line) for line in run.metrics("a").read_text().splitlines()]
    return [(entry["stage"], entry["step"]) for entry in entries]


def test_metrics_resume_at_the_checkpoint(tmp_path: Path) -> None:
    """Lines behind the checkpoint and a last line cut by a kill are dropped."""
    run = RunFolder(tmp_path)
    whole = [entry("a", step) for step in (1, 2, 3)]
    run.metrics("a").parent.mkdir(parents=True)
    run.metrics("a").write_text("".join(map(line_of, whole)) + '{"stage": "a", "st')
    log = MetricsLog(run, "a", first_step=1)
    assert lines(run) == [("a", 1)]
    log.write(entry("a", 2))
    assert lines(run) == [("a", 1), ("a", 2)]
    log.close()
    last = {"stage": "a", "step": 2, "rows": 128, "train_log_loss": 0.25, "learning_rate": 0.1, "skipped_steps": 0}
    assert json.loads(run.metrics("a").read_text().splitlines()[-1]) == last
    assert [path.name.split(".")[0] for path in (run.tensorboard / "a").iterdir()] == ["events"]


@pytest.mark.parametrize("line", ["not JSON", "[]", '{"stage": "a"}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    """A whole line that is no metric is an error with file and line; the file stays as it is."""
    run = RunFolder(tmp_path)
    run.metrics("a").parent.mkdir(parents=True)
    run.metrics("a").write_text(f"{line_of(entry('a', 1))}{line}\n")
    before = run.metrics("a").read_bytes()
    with pytest.raises(ValueError, match=rf"{run.metrics('a')}, line 2: .*; repair or remove the line"):
        MetricsLog(run, "a", first_step=1)
    assert run.metrics("a").read_bytes() == before


def test_metrics_on_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that cannot be written is said once, and written whole with the first that can, in its place."""
    run = RunFolder(tmp_path)
    log = MetricsLog(run, "a", first_step=0)
    log.write(entry("a", 1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (run.metrics("a").stat().st_size + 10, hard))
    try:
        for step in (2, 3):
            log.write(entry("a", step))
        with pytest.raises(OSError, match=r"File too large while writing; make room on the disk: .*metrics\.jsonl"):
            log.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().out
    assert said.count("training goes on, and the line is written with the next") == 1
    log.write(entry("a", 4))
    log.close()
    assert lines(run) == [("a", 1), ("a", 2), ("a", 3), ("a", 4)]
