"""pipeline/run/tracking.py: TorchX's own tracker gets what a run found, and one that fails costs a line."""

from pathlib import Path

import pytest
from torchx.tracker.backend.fsspec import create

from pipeline.run.folder import RunFolder
from pipeline.run.tracking import artifacts, track

JOB = "local_cwd://torchx/search-1"


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The configuration of an fsspec tracker in a folder, named as `torchx run` names it to its apps."""
    (tmp_path / "tracker").mkdir()
    config = tmp_path / "tracker.config"
    config.write_text(f"protocol = file\nroot_path = {tmp_path}/tracker\n")
    monkeypatch.setenv("TORCHX_TRACKERS", "fsspec")
    monkeypatch.setenv("TORCHX_TRACKER_FSSPEC_CONFIG", str(config))
    monkeypatch.setenv("TORCHX_JOB_ID", JOB)
    return str(config)


def test_metrics_and_artifacts(tracker: str, tmp_path: Path) -> None:
    """What is told can be read back through TorchX: figures, the run's name, and the files that there are."""
    folder = RunFolder(tmp_path / "runs" / "mine")
    folder.path.mkdir(parents=True)
    folder.report.write_text("<html>")
    track(folder, {"test_log_loss": 0.45, "best_model": "dlrm"})
    found = create(tracker)
    metadata = dict(found.metadata(JOB))
    assert metadata == {"run": "mine", "folder": str(folder.path), "test_log_loss": 0.45, "best_model": "dlrm"}
    assert {name: one.path for name, one in found.artifacts(JOB).items()} == {"report": str(folder.report)}
    assert list(artifacts(folder)) == ["report"]


def test_without_a_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is told and nothing said."""
    for name in ("TORCHX_TRACKERS", "TORCHX_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    track(RunFolder(tmp_path), {"test_log_loss": 0.45})
    assert capsys.readouterr() == ("", "")


def test_a_tracker_that_fails(tracker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that is not there is one line."""
    (tmp_path / "tracker").rmdir()
    track(RunFolder(tmp_path), {"test_log_loss": 0.45})
    error = capsys.readouterr().err
    assert error.startswith("tracker    ") and error.count("\n") == 1
