"""What a run of the tests says at its end about tests that found no real logs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.skipif(True, reason="the real data (../shared/data) are absent")
@pytest.mark.parametrize("log", ["a", "b"])
def test_real(log): ...

@pytest.mark.skipif(True, reason="needs another system")
def test_other(): ...

def test_passes(): ...
"""


def end_of_run(folder: Path, *options: str) -> str:
    """What pytest prints for TESTS under this project's tests/conftest.py."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_logs.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(folder), "-q", *options, str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600).stdout


@pytest.mark.slow
def test_tests_without_their_logs_are_named(tmp_path: Path) -> None:
    """Each test that was skipped for want of ../shared is listed with its reason; other skipped tests are not."""
    lines = end_of_run(tmp_path).splitlines()
    assert any("2 tests without their real logs" in line for line in lines)
    reason = "the real data (../shared/data) are absent"
    listed = [line for line in lines if line.startswith("SKIPPED")]
    assert listed == [f"SKIPPED test_logs.py::test_real[{log}]: {reason}" for log in "ab"]


@pytest.mark.slow
def test_nothing_is_said_when_nothing_is_missing(tmp_path: Path) -> None:
    """A run whose tests all found their logs ends without the section."""
    assert "real logs" not in end_of_run(tmp_path, "-k", "other or passes")
