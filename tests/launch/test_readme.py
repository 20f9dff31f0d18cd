"""Every `torchx run` and `python -m` of README is a command that works: run as a dry run, or read as it would be."""

import argparse
import re
import shlex
from pathlib import Path

import pytest
import tyro
from torchx.cli.argparse_util import ArgOnceAction, torchxconfig

from launch.program import SCHEDULER
from launch.torchx_cli import CmdRunFile
from pipeline.command_line import read_command_line
from pipeline.evaluation.config import EvaluateConfig
from pipeline.planning.config import PlanConfig

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
LINES = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines()]
CLIENTS = {"kubernetes": "kubernetes"}
"""Schedulers whose dry run needs a package that is not of the closure."""


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """As README's reader: in the project's folder, with a scheduler that no test before has left."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(SCHEDULER, "local_cwd")


def dry_run(words: list[str]) -> int:
    """`torchx run --dryrun ...` in this process; its status."""
    command, parser = CmdRunFile(), argparse.ArgumentParser()
    for action in (ArgOnceAction, torchxconfig):
        action.called_args.clear()  # of the command before, which would be a process of its own
    command.add_arguments(parser)
    try:
        command.run(parser.parse_args(["--dryrun", *words]))
    except SystemExit as left:
        return int(left.code or 0)
    return 0


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("torchx run ")])
def test_torchx_commands(line: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Each is accepted by its scheduler, which is asked for a GPU a process on a cluster, whatever this machine has."""
    words = shlex.split(line)[2:]
    scheduler = words[words.index("-s") + 1] if "-s" in words else "local_cwd"
    status = dry_run(words)
    printed = capfd.readouterr().out
    if status and scheduler in CLIENTS:
        assert f"No module named '{CLIENTS[scheduler]}'" in caplog.text and "pip install" in caplog.text
        return
    assert status == 0, caplog.text
    program = re.search(r"launch/(\w+)\.py", line)
    assert program and f"'name': '{program[1]}'" in printed
    nodes, processes = re.search(r"-j (\d+)x(\d+)", line).groups() if "-j " in line else ("1", "1")
    assert f"'num_replicas': {nodes}" in printed
    if scheduler != "local_cwd":
        assert f"gpu={processes}" in printed or f"'gpu': {processes}" in printed


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("python -m pipeline.plan")])
def test_plans(line: str) -> None:
    """Each plan's settings are understood, the run's among them."""
    own, others = tyro.cli(PlanConfig, args=shlex.split(line)[3:], return_unknown_args=True)
    assert own.world_size and read_command_line("plan", list(others)).run == "criteo_terabyte"


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("python -m pipeline.evaluate_model")])
def test_evaluations(line: str) -> None:
    """Each evaluation's settings are understood."""
    config = tyro.cli(EvaluateConfig, args=shlex.split(line)[3:])
    assert config.model and config.data.path


def test_there_are_commands() -> None:
    """The tests above do not pass by having found nothing."""
    assert sum(line.startswith("torchx run ") for line in LINES) >= 12
    assert {word for line in LINES for word in ("slurm", "kubernetes", "aws_batch") if f"-s {word}" in line} == {
        *("slurm", "kubernetes", "aws_batch")
    }
