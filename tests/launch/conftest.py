"""A folder with a small component and program of its own, and the real `torchx` command to run in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMPONENT = '''
from torchx.specs import AppDef
from launch.program import Launch, program_app

def probe(*program_args: str, j: str = "1x1", gpu: int = 0) -> AppDef:
    """A component of the tests."""
    return program_app("probe", "program", program_args, Launch(j, 0, gpu, 1, None, "", "", None, 0))
'''

# torchrun starts Python with -u, where `print` writes each of its parts separately, so two ranks' lines would mix.
PROGRAM = """
import os, sys, time
command, *rest = sys.argv[1:]
rank, ranks = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
match command:
    case "say":
        sys.stdout.write(f"rank {rank} of {ranks} got {rest}\\n")
        sys.stderr.write(f"rank {rank} terminal {sys.stdout.isatty()}\\r\\n")
    case "fail" if rank == "0":
        sys.exit(int(rest[0]))
    case "wait":
        sys.stdout.write(f"pid {os.getpid()}\\n")
        sys.stdout.flush()
        time.sleep(1000)
"""


@pytest.fixture(autouse=True)
def own_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that a test starts import this checkout, also where another one is installed in the environment."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="session")
def torchx() -> list[str]:
    """The command `torchx` of this environment, in which the project is installed."""
    command = Path(sys.executable).with_name("torchx")
    ours = [point for point in entry_points(group="torchx.cli.cmds") if point.value == "launch.torchx_cli:CmdRunFile"]
    if not command.exists() or not ours:
        pytest.skip("the project is not installed in this environment, so `torchx run FILE.py` is not ours: make setup")
    return [str(command)]


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    """A folder with probe.py (the component), program.py (what it runs) and this project's .torchxconfig."""
    (tmp_path / "probe.py").write_text(COMPONENT)
    (tmp_path / "program.py").write_text(PROGRAM)
    shutil.copy(ROOT / ".torchxconfig", tmp_path)
    return tmp_path


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(torchx: list[str], probe: Path) -> Run:
    """`run(*arguments, cwd=..., **environment)` runs `torchx run *arguments` to its end; cwd is the probe's folder."""

    def run_torchx(*arguments: str, cwd: Path = probe, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "LOGLEVEL")}
        return subprocess.run(
            [*torchx, "run", *arguments], cwd=cwd, env=env | environment, capture_output=True, text=True, timeout=600
        )

    return run_torchx
