"""pipeline/command_line.py and the programs: what is read from a command line is read without torch."""

import ast
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"): path
    for package in ("pim_codesign", "pipeline")
    for path in sorted((ROOT / package).rglob("*.py"))
    if '\nif __name__ == "__main__":' in path.read_text()
}
"""Every program that a user starts, and its file."""

RUN = """
import os, runpy, sys
program, *commands = sys.argv[1:]
for command in commands:
    sys.argv = [program, *command.split()]
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        status = error.code or 0
    else:
        status = 0
    found = sorted({"torch", "torchrec", "fbgemm_gpu", "lightgbm", "matplotlib", "pymoo"} & sys.modules.keys())
    print("!", command, "|", status, "|", *found, "|", os.environ.get("OMP_WAIT_POLICY"))
"""


def endings(folder: Path, program: str, *commands: str) -> list[tuple[str, int, str, str]]:
    """A program run in a folder with each command line, one after the other in one process.

    Of each: the command line, the status, the large libraries that are imported by then, and OMP_WAIT_POLICY.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("OMP_WAIT_POLICY", None)
    command = [sys.executable, "-c", RUN, program, *commands]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    lines = [line[1:].split("|") for line in ended.stdout.splitlines() if line.startswith("!")]
    return [(command.strip(), int(status), found.strip(), policy.strip()) for command, status, found, policy in lines]


def test_the_programs_are_found() -> None:
    """Those that README names are among them."""
    stages = ("chain", "train", "search", "race", "retrain", "trees", "codesign", "export", "report", "rank_study")
    others = (
        "plan",
        "browse",
        "nasrec_file",
        "evaluate_model",
        "serve",
        "serve_bench",
        "data.describe",
        "data.prepare",
        "data.generate",
    )
    assert {*(f"pipeline.{name}" for name in stages + others), "pim_codesign"} == PROGRAMS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_a_wrong_option_without_torch(program: str, tmp_path: Path) -> None:
    """Neither imports torch, TorchRec, FBGEMM or another library that takes long; the wrong option's status is 2.

    Before torch, where the program goes on to it, OpenMP's threads are told to sleep.
    """
    wrong, helped = endings(tmp_path, program, "--no-such-option 1", "--help")
    assert wrong[:3] == ("--no-such-option 1", 2, "")
    assert helped[:3] == ("--help", 0, "")
    assert helped[3] == ("PASSIVE" if program.startswith("pipeline.") else "None")


@pytest.mark.slow
def test_wrong_values_without_torch(tmp_path: Path) -> None:
    """Names that belong to samplers, spaces, hand-made models, strategies, chips and runs are checked without torch."""
    wrong = {
        "--model.space nasrec": 2,
        "quick --supernet.sampler path": 2,
        "--rank-study.samplers path": 2,
        "criteo_terabyte --race.handmade dlmr": 2,
        "--codesign.preset isaac": 2,
        "--search.strategy annealing": 1,
        "--search.strategy nsga2 --search.objectives speed": 2,
        "quik": 1,
        "quick --retrain.seeds 0": 2,
    }
    found = endings(tmp_path, "pipeline.chain", *wrong)
    assert [one[:3] for one in found] == [(command, status, "") for command, status in wrong.items()]


def test_stages_are_where_programs_look_for_them() -> None:
    """What a program runs once its command line is read is named by module and function: both are there."""
    calls = [
        node
        for path in PROGRAMS.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "run_program"
    ]
    assert len(calls) == 9
    for call in calls:
        place, name = map(ast.literal_eval, call.args)
        assert callable(pkgutil.resolve_name(place)) and name in PROGRAMS
