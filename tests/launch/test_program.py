"""The role of a program: its command line, threads and GPUs."""

import dataclasses
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from torch.distributed.run import parse_args
from torchx.specs import AppDef, macros

from launch.program import Launch, command_line, nodes_and_processes, program_app, usable_cores, visible_gpus

arguments = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), max_size=5)


ONE_PROCESS = Launch(j="1x1", cpu=0, gpu=0, memMB=1000, h=None, image="", python="", env=None, max_retries=0)


def app(**changes: Any) -> AppDef:
    """An app of one process, with the given changes."""
    return program_app("search", "pipeline.chain", ["--run", "a"], dataclasses.replace(ONE_PROCESS, **changes))


@given(st.integers(1, 999), st.integers(1, 999))
def test_nodes_and_processes(nodes: int, processes: int) -> None:
    """Every NxM reads back as its two numbers."""
    assert nodes_and_processes(f"{nodes}x{processes}") == (nodes, processes)


@pytest.mark.parametrize(
    "j", ["", "2", "0x1", "1x0", "1x", "x2", "2:1x4", "0:2x4", ":2x4", "1:2:3x4", "1x2x3", "-1x2", "1x2\n", "1 x 2"]
)
def test_other_forms_are_refused(j: str) -> None:
    """Anything else is an error that shows what was found."""
    with pytest.raises(ValueError, match="such as 1x2, or 1:2x8 for one node or two; found"):
        nodes_and_processes(j)


def test_lost_workers_are_started_again() -> None:
    """-j 1:2x8 with restarts is torchrun's elastic form, and TorchX's too; so is one process that may be restarted;
    without restarts an elastic -j is an error, not ignored."""
    role = app(j="1:2x8", max_restarts=3).roles[0]
    assert (role.num_replicas, role.min_replicas) == (2, 1)
    options = parse_args(shlex.split(role.args[1])[shlex.split(role.args[1]).index("launch.agent") + 1 :])
    assert (options.nnodes, options.nproc_per_node, options.max_restarts) == ("1:2", "8", 3)
    role = app(j="1x1", max_restarts=2).roles[0]
    options = parse_args(role.args[role.args.index("launch.agent") + 1 :])
    assert (options.nnodes, options.max_restarts, options.standalone) == ("1", 2, True)
    assert app(j="2x8").roles[0].min_replicas is None and "--max-restarts" not in app(j="2x8").roles[0].args[1]
    with pytest.raises(ValueError, match=r"-j is '1:2x8', which takes --max_restarts"):
        app(j="1:2x8")
    with pytest.raises(ValueError, match="--max_restarts is -1; it must be at least 0"):
        app(max_restarts=-1)


@given(arguments, st.sampled_from([(1, 1), (1, 3), (2, 4)]))
@example(["--run", "a"], (1, 3))
def test_arguments_survive(program_args: list[str], shape: tuple[int, int]) -> None:
    """After TorchX's macros and the shell, the program's arguments are those that were given, byte for byte."""
    entrypoint, args = command_line("/opt/my python", "pipeline.chain", program_args, *shape, port=1234)
    values = macros.Values(img_root="IMG", app_id="APP", replica_id="0", rank0_env="FIRST_NODE")
    words = [entrypoint, *(values.substitute(argument) for argument in args)]
    if shape[0] > 1:
        assert words[:2] == ["bash", "-c"]
        words = shlex.split(words[2])[1:]
        assert "--rdzv-endpoint=${FIRST_NODE:-localhost}:1234" in words and "--rdzv-id=APP" in words
    assert words[0] == "/opt/my python"
    assert words[len(words) - len(program_args) :] == program_args
    if shape == (1, 1):
        assert words == ["/opt/my python", "-m", "pipeline.chain", *program_args]
    else:  # torchrun's own parser, which would take --run for an abbreviation of its --run-path
        options = parse_args(words[words.index("launch.agent") + 1 :])
        assert (options.module, options.training_script) == (True, "pipeline.chain")
        assert options.training_script_args == program_args


def test_the_shell_fills_in_the_first_node() -> None:
    """With several nodes, bash puts the scheduler's first node into the command, or localhost where it is not told."""
    _, args = command_line("/bin/echo", "program", ["$HOME"], 2, 1, port=1234)
    values = macros.Values(img_root="", app_id="APP", replica_id="0", rank0_env="FIRST_NODE")
    for first_node, found in (("node7", "node7"), ("", "localhost"), (None, "localhost")):
        env = {"PATH": os.environ["PATH"]} | ({} if first_node is None else {"FIRST_NODE": first_node})
        said = subprocess.run(["bash", "-c", values.substitute(args[1])], env=env, capture_output=True, text=True)
        assert f"--rdzv-endpoint={found}:1234 -m -- program $HOME\n" in said.stdout


@pytest.mark.parametrize(
    ("cpu", "j", "threads"), [(8, "1x1", 8), (8, "1x2", 4), (8, "3x8", 1), (2, "1x4", 1), (7, "1x2", 3)]
)
def test_threads_share_the_cores(monkeypatch: pytest.MonkeyPatch, cpu: int, j: str, threads: int) -> None:
    """The processes of a node divide its cores, and each has at least one."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (role,) = app(cpu=cpu, j=j).roles
    assert role.env["OMP_NUM_THREADS"] == str(threads)
    assert (role.resource.cpu, role.num_replicas) == (cpu, int(j.split("x")[0]))


def test_threads_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """OMP_NUM_THREADS in the user's shell goes before our division, and --env before both."""
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert app().roles[0].env["OMP_NUM_THREADS"] == "5"
    assert app(env={"OMP_NUM_THREADS": "6", "A": "b"}).roles[0].env == {"OMP_NUM_THREADS": "6", "A": "b"}


def test_this_interpreter() -> None:
    """The program runs in the interpreter TorchX runs in, and on all its cores, unless told otherwise."""
    (role,) = app().roles
    assert role.entrypoint == sys.executable
    assert role.args == ["-m", "pipeline.chain", "--run", "a"]
    assert role.resource.cpu == usable_cores()
    assert app(python="python3.12").roles[0].entrypoint == "python3.12"


def test_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A GPU a process, as far as the machine has them and the user's choice lets them be seen."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == 0
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H200 (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    assert visible_gpus() == 2
    assert [app(gpu=-1, j=j).roles[0].resource.gpu for j in ("1x1", "1x2", "1x4")] == [1, 2, 2]
    assert app(gpu=8, j="4x8").roles[0].resource.gpu == 8
    for chosen, seen in (("", 0), ("-1", 0), ("1", 1), ("0,1", 2)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        assert visible_gpus() == seen
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    tool.write_text(
        "#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not communicate with the driver'\nexit 9\n"
    )
    assert visible_gpus() == 0
