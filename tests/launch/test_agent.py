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


LOST_ONCE = """
import os, sys
from torch import distributed
distributed.init_process_group("gloo")
rank, start = distributed.get_rank(), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
open(os.path.join(sys.argv[1], f"start_{start}_{rank}"), "w").close()
if rank == 1 and start == 0:
    os.kill(os.getpid(), 9)
distributed.barrier()
"""


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [0, 1])
def test_a_lost_rank_is_started_again(tmp_path: Path, restarts: int) -> None:
    """With --max-restarts all ranks are started again when one was killed, and end well; without, the status is its."""
    script = tmp_path / "rank.py"
    script.write_text(LOST_ONCE)
    agent = [sys.executable, "-m", "launch.agent", "--standalone", "--nproc-per-node=2", f"--max-restarts={restarts}"]
    result = subprocess.run([*agent, str(script), str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == (0 if restarts else 137), result.stderr
    starts = {"start_0_0", "start_0_1"} | ({"start_1_0", "start_1_1"} if restarts else set())
    assert {path.name for path in tmp_path.glob("start_*")} == starts
