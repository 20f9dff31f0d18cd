"""pipeline/run/progress_bar.py: lines in a log file, a bar on a terminal."""

import os
import pty
import re
import sys
import time
from pathlib import Path

import pytest
from tqdm import tqdm

from pipeline.run import progress_bar as progress_bar_file
from pipeline.run.progress_bar import LinesOfProgress, progress_bar


def test_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is updated or given another postfix, a bar in a file prints a line in each interval, without
    carriage returns, and one at its end."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress_bar(total=1000, desc="race", unit="row") as bar:
        for step in range(1000):
            now[0] = 0.125 * step  # exact in binary
            bar.update()
            bar.set_postfix_str(f"best {step}")
    printed = capsys.readouterr().err
    assert "\r" not in printed and printed.endswith("\n")
    lines = printed.splitlines()
    assert len(lines) == 5 and all(line.startswith("race: ") for line in lines)
    assert [re.findall(r"\((\d+) of 1000\)", line)[0] for line in lines] == ["241", "481", "721", "961", "1000"]
    assert lines[-1].endswith("best 999")


def test_what_is_short_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar that ends within the interval leaves no line, and neither does one that is off."""
    with progress_bar(total=3, desc="retrain") as bar:
        bar.update(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_bar_file, "LINE_EVERY_S", 0.0)
        with progress_bar(total=3, desc="retrain", disable=True) as bar:
            bar.update(3)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where stderr is a terminal it is tqdm's own bar; elsewhere it is not."""
    _, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar(total=1) as bar:
            assert type(bar) is tqdm
    with (tmp_path / "log").open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar(total=1) as bar:
            assert isinstance(bar, LinesOfProgress)
