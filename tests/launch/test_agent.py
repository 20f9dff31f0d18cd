"""torchrun's agent as we start it: the ranks' fate is its own status, without a stack."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("body", "status"),
    [("", 0), ("import sys; sys.exit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)],
    ids=["success", "exit 7", "kill -9"],
)
@pytest.mark.slow
def test_status(tmp_path: Path, body: str, status: int) -> None:
    """Status 0, a rank's own status, or 128 + the signal it died of; a failure is told in a line, not in a stack."""
    script = tmp_path / "rank.py"
    script.write_text(body)
    command = [sys.executable, "-m", "launch.agent", "--standalone", "--nproc-per-node=1", str(script)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    assert ("failed (exitcode" in result.stderr) == (status != 0)
