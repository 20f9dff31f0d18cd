"""launch/prepare.py: replicas that share the files, started and restarted on their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from torchx.runner import get_runner
from torchx.specs import RetryPolicy
from torchx.specs.finder import get_component

from launch.prepare import prepare

ROOT = Path(__file__).parents[2]


def test_torchx_accepts_the_file() -> None:
    """TorchX's own checks pass, and what it finds starts one program a replica, each told its number."""
    found = get_component(f"{ROOT}/launch/prepare.py:prepare")
    (role,) = found.fn("--path", "a$b", j="8x1").roles
    assert role.args == [
        *("-m", "pipeline.data.prepare", "--path", "a$$b"),
        *("--replica", "${replica_id}", "--replicas", "8"),
    ]
    assert (role.num_replicas, role.retry_policy, role.resource.gpu) == (8, RetryPolicy.REPLICA, 0)


def test_processes_are_the_programs_own() -> None:
    """More than one process a node is refused with the right option."""
    with pytest.raises(ValueError, match="uses all cores of its node by itself: use 2x1"):
        prepare(j="2x4")


def test_slurm_numbers_the_replicas() -> None:
    """Every replica of the batch script has its own number."""
    with get_runner() as runner:
        script = str(runner.dryrun(prepare("--path", "x", j="3x1", cpu=4), "slurm"))
    assert [f"--replica {number} --replicas 3" in script for number in range(4)] == [True, True, True, False]


@pytest.mark.slow
def test_two_replicas_through_torchx(tmp_path: Path) -> None:
    """TorchX starts two replicas on this machine, which leave one whole result of both replicas' files."""
    (tmp_path / "raw").mkdir()
    for day in range(3):
        lines = (f"{row % 2}\t" + "\t".join(["1"] * 13 + [f"{day:08x}"] * 26) for row in range(50))
        (tmp_path / "raw" / f"day_{day}").write_text("".join(line + "\n" for line in lines))
    options = ["--path", str(tmp_path / "raw"), "--schema", "criteo", "--folder", str(tmp_path / "out")]
    torchx = Path(sys.executable).with_name("torchx")
    scheduler = ["-s", "local_cwd", "-cfg", f"log_dir={tmp_path}/log"]
    program = ["launch/prepare.py:prepare", "-j", "2x1", "--", *options, "--numbering", "vocabulary"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([str(torchx), "run", *scheduler, *program], cwd=ROOT, env=environment, timeout=600)
    assert done.returncode == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [(day["files"][0]["file"], day["rows"]) for day in manifest["sources"]] == [
        (f"day_{d}-00000.parquet", 50) for d in range(3)
    ]
    assert not (tmp_path / "out" / "work").exists()
