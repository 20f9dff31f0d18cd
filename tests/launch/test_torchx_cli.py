"""The real `torchx run` in subprocesses: what it accepts, where the output goes, and the status it leaves with."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.torchx_cli import with_function

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("arguments", "program_line"),
    [
        (["launch/search.py"], "'-m', 'pipeline.chain'"),
        (["--", "launch/search.py"], "'-m', 'pipeline.chain'"),
        (["launch/search.py:search"], "'-m', 'pipeline.chain'"),
        ([str(ROOT / "launch/search.py"), "--", "--run", "a"], "'-m', 'pipeline.chain', '--run', 'a'"),
        (
            ["launch/search.py", "-j", "1x2", "--", "--data.path", "X", "--data.schema", "criteo", "--run", "Y"],
            "'-m', '--', 'pipeline.chain', '--data.path', 'X', '--data.schema', 'criteo', '--run', 'Y'",
        ),
        (["launch/train.py", "--", "--", "-x"], "'-m', 'pipeline.train', '--', '-x'"),
        (["launch/codesign.py"], "'-m', 'pipeline.codesign'"),
        (["launch/export.py", "--env", "A=1,B=2"], "'-m', 'pipeline.export'"),
        (["dist.ddp", "-j", "1x2", "--script", "x.py"], "torchrun --rdzv_backend c10d"),
    ],
)
@pytest.mark.slow
def test_dry_runs(run: Run, arguments: list[str], program_line: str) -> None:
    """Files, file:function and builtins all resolve, and the program's arguments arrive as they were written."""
    result = run("--dryrun", *arguments, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert program_line in " ".join(result.stdout.split())


@given(st.lists(st.text(max_size=8), max_size=6))
def test_only_the_component_is_rewritten(rest: list[str]) -> None:
    """Whatever follows the component stays as it is, even where it looks like a component file."""
    file = str(ROOT / "launch/search.py")
    assert with_function([file, *rest]) == [f"{file}:search", *rest]
    assert with_function(["utils.echo", *rest]) == ["utils.echo", *rest]
    assert with_function(["--", f"{file}:search", *rest]) == ["--", f"{file}:search", *rest]


@pytest.mark.slow
def test_output_goes_straight_through(run: Run, probe: Path) -> None:
    """A lone replica's stdout is torchx's stdout and its stderr torchx's stderr, without prefixes; builtins too.
    The first and the last words are where the run is, the last ones its report too."""
    result = run("probe.py", "--", "say", "two words", "$HOME ${app_id} $$")
    assert result.returncode == 0, result.stderr
    assert "rank 0 of 1 got ['two words', '$HOME ${app_id} $$']" in result.stdout.splitlines()
    assert "rank 0 terminal False" in result.stderr.splitlines()
    assert "local_cwd://" not in result.stdout + result.stderr, "a handle that no other command knows"
    assert result.stdout.splitlines()[0] == result.stdout.splitlines()[-1] == "run        runs/say"
    (probe / "runs" / "say").mkdir(parents=True)
    (probe / "runs" / "say" / "report.html").write_text("")
    result = run("probe.py", "--", "say")
    assert result.stdout.splitlines()[-1] == "run        runs/say; report runs/say/report.html"
    result = run("utils.echo", "--msg", "hello from a builtin")
    assert result.returncode == 0 and "hello from a builtin" in result.stdout.splitlines(), result.stderr


def test_two_processes(run: Run) -> None:
    """`-j 1x2` starts two ranks, and both reach the terminal."""
    result = run("probe.py", "-j", "1x2", "--", "say", "x")
    assert result.returncode == 0, result.stderr
    assert {"rank 0 of 2 got ['x']", "rank 1 of 2 got ['x']"} <= set(result.stdout.splitlines())


@pytest.mark.slow
def test_two_nodes(run: Run) -> None:
    """`-j 2x1` starts an agent a node, which meet; TorchX prefixes the lines of several replicas."""
    result = run("probe.py", "-j", "2x1", "--", "say", "$x")
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    for rank in (0, 1):
        assert any("probe/" in line and f"rank {rank} of 2 got ['$x']" in line for line in lines), result.stderr


def test_log_files_on_request(run: Run, probe: Path) -> None:
    """Who names a log_dir gets TorchX's log files, and its prefixed lines."""
    result = run("-cfg", f"log_dir={probe}/logs", "probe.py", "--", "say")
    assert result.returncode == 0, result.stderr
    (log,) = (probe / "logs").rglob("stdout.log")
    assert log.read_text() == "rank 0 of 1 got []\n"


@pytest.mark.slow
def test_the_child_sees_the_terminal(torchx: list[str], probe: Path) -> None:
    """On a terminal the program writes to that terminal, so progress bars know its width and may use colours."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [*torchx, "run", "probe.py", "--", "say"]
    process = subprocess.Popen(command, cwd=probe, stdout=follower, stderr=follower)
    os.close(follower)
    output = b""
    try:
        while chunk := os.read(leader, 65536):
            output += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(leader)
    assert process.wait(600) == 0
    assert b"rank 0 terminal True" in output.replace(b"\r", b"\n").split(b"\n")


@pytest.mark.parametrize("j", ["1x1", "1x2"])
@pytest.mark.slow
def test_failure_is_reported(run: Run, j: str) -> None:
    """A failing rank fails the command, and no stack of TorchX or torchrun hides what the program said."""
    result = run("probe.py", "-j", j, "--", "fail", "7")
    assert result.returncode == 1
    assert "failed; its last words are above. run        runs/fail" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("j", "sent"), [("1x1", signal.SIGINT), ("1x2", signal.SIGTERM)])
@pytest.mark.slow
def test_stopping(torchx: list[str], probe: Path, j: str, sent: signal.Signals) -> None:
    """Ctrl-C (or SIGTERM) ends every rank, and the command with the usual status."""
    command = [*torchx, "run", "probe.py", "-j", j, "--", "wait"]
    with subprocess.Popen(command, cwd=probe, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        ranks = int(j[-1])
        children: list[int] = []
        while len(children) < ranks:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            if line.startswith("pid "):
                children.append(int(line.split()[1]))
        process.send_signal(sent)
        assert process.wait(600) == 128 + sent
        assert "Traceback" not in process.stderr.read()
    deadline = time.monotonic() + 300
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.py"], "no component file nowhere.py in "),
        (["probe.py", "-j", "2:1x4", "--", "say"], "or 1:2x8 for one node or two; found '2:1x4'"),
        (["probe.py", "--run", "x"], "FILE.py -j 1x2 -- --run NAME"),
        (["probe.py", "--gpu", "3", "--", "say"], "--gpu asks for 3 GPUs; this machine has no nvidia-smi"),
    ],
)
def test_mistakes(run: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    """A user's mistake is one line that says what to do, and status 2."""
    result = run(*arguments, PATH=str(tmp_path), CUDA_VISIBLE_DEVICES="")
    assert result.returncode == 2
    assert said in result.stderr and "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_users_choice_of_gpus_stands(run: Run, probe: Path) -> None:
    """TorchX would hand out GPU 0 of the machine; CUDA_VISIBLE_DEVICES in the user's shell goes before it."""
    tool = probe / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200'\necho 'GPU 1: NVIDIA H200'\n")
    tool.chmod(0o755)
    path = f"{tool.parent}:{os.environ['PATH']}"
    divided = run("--dryrun", "probe.py", "--gpu", "1", "--", "say", PATH=path)
    assert "'CUDA_VISIBLE_DEVICES': '0'" in divided.stdout, divided.stderr
    chosen = run("--dryrun", "probe.py", "--gpu", "1", "--", "say", PATH=path, CUDA_VISIBLE_DEVICES="1")
    assert "'CUDA_VISIBLE_DEVICES': '1'" in chosen.stdout, chosen.stderr
