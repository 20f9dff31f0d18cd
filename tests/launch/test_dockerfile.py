"""Dockerfile, as far as can be checked without docker: it installs by install.sh, and TorchX's command is what runs."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = [
    line for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines() if line and line[0] != "#"
]
STEPS = [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in LINES]


def defaults() -> dict[str, str]:
    """The build's arguments as they are by default."""
    return dict(value.split("=", 1) for step, value in STEPS if step == "ARG")


def filled(text: str) -> str:
    """A step with the build's arguments in it."""
    return re.sub(r"\$\{(\w+)\}", lambda found: defaults().get(found[1], found[0]), text)


def test_the_python_is_one_that_the_project_runs_on() -> None:
    """The base image's Python is within pyproject's range, and the one that install.sh accepts."""
    (base,) = [filled(value) for step, value in STEPS if step == "FROM"]
    minor = int(re.fullmatch(r"python:3\.(\d+)-slim", base)[1])
    low, high = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text()).groups()
    assert int(low) <= minor < int(high)


def test_what_is_copied_is_there_before_it_is_used() -> None:
    """install.sh and requirements.txt are copied, exist, can be run, and stand before the step that runs them."""
    copied: set[str] = set()
    for step, value in STEPS:
        if step == "COPY":
            *sources, _ = value.split()
            assert all((ROOT / source).exists() for source in sources)
            copied |= set(sources)
        if step == "RUN" and "install.sh" in value:
            assert copied == {"requirements.txt", "launch/install.sh"}, "a changed source must not install all anew"
    assert "." in copied
    assert (ROOT / "launch/install.sh").stat().st_mode & 0o111


def test_it_installs_by_install_sh() -> None:
    """The script gets its four arguments: the environment that PATH names first, a Python, CUDA builds, an index."""
    (script,) = [shlex.split(filled(value)) for step, value in STEPS if step == "RUN" and "install.sh" in value]
    venv, _, build, index = script[1:]
    usage = re.search(r"launch/install.sh (.*)", (ROOT / "launch/install.sh").read_text())[1]
    assert len(usage.split()) == 4 and build == "cuda" and index.startswith("https://")
    (environment,) = [value for step, value in STEPS if step == "ENV"]
    assert environment.startswith(f"PATH={venv}/bin:")


def test_the_command_is_torchxs() -> None:
    """No entry point stands before the command that a scheduler gives; by itself the image explains the chain."""
    assert "ENTRYPOINT" not in {step for step, _ in STEPS}
    assert STEPS[-1] == ("CMD", '["python", "-m", "pipeline.chain", "--help"]')


def test_runs_and_environments_stay_outside() -> None:
    """Neither the environment of this machine nor its runs are copied into the image."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".venv", "runs", ".git"} <= set(ignored)
