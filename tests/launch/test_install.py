"""The set-up: what make asks for, and what install.sh says when it cannot be had (nothing here touches a network)."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def install(
    tmp_path: Path, python: str, build: str, index: str = "file:///nowhere"
) -> subprocess.CompletedProcess[str]:
    """launch/install.sh with pip's settings out of the way, so that no wheel is at hand."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
    command = ["launch/install.sh", str(tmp_path / "venv"), python, build, index]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)


def test_wrong_python(tmp_path: Path) -> None:
    """Another Python is refused by its version, before anything is made."""
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n')
    old.chmod(0o755)
    result = install(tmp_path, str(old), "cpu")
    assert result.returncode == 1
    assert "is Python 3.9.1; Python 3.11, 3.12 or 3.13 is needed: make PYTHON=" in result.stderr
    result = install(tmp_path, "no-such-python", "cpu")
    assert result.returncode == 1 and "no program 'no-such-python'" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_wrong_build(tmp_path: Path) -> None:
    """BUILD is cpu or cuda."""
    result = install(tmp_path, sys.executable, "rocm")
    assert result.returncode == 1 and "BUILD=rocm; it is cpu or cuda" in result.stderr


@pytest.mark.slow
def test_no_torch_to_be_had(tmp_path: Path) -> None:
    """Without a CPU wheel on the machine and without the index, the message names the variable to set."""
    index = (tmp_path / "index").as_uri()
    result = install(tmp_path, sys.executable, "cpu", index)
    assert result.returncode == 1
    assert f"not to be had from TORCH_INDEX={index}" in result.stderr
    assert "make TORCH_INDEX=" in result.stderr


def last_command(*arguments: str) -> str:
    """The last command that `make -n` with these arguments would run, its words separated by single spaces."""
    outer = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS", "J", "ARGS")  # of the make that runs these tests
    env = {name: value for name, value in os.environ.items() if name not in outer}
    command = ["make", "-n", "VENV=.venv", *arguments]
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    return " ".join(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], ".venv/bin/torchx run launch/search.py"),
        (["J=1x2"], ".venv/bin/torchx run launch/search.py -j 1x2"),
        (["J=1x2", "ARGS=--run a"], ".venv/bin/torchx run launch/search.py -j 1x2 -- --run a"),
    ],
)
def test_make_search(arguments: list[str], command: str) -> None:
    """`make search` is the plain `torchx run launch/search.py`, and its variables become that command's arguments."""
    assert last_command("search", *arguments) == command


def test_make_test_passes_arguments() -> None:
    """`make test ARGS="-m 'not slow'"` gives pytest the two arguments that were written."""
    _, _, written = last_command("test", "ARGS=-m 'not slow' tests/a.py").partition(" -m pytest ")
    assert shlex.split(written)[-4:] == ["--durations=10", "-m", "not slow", "tests/a.py"]
