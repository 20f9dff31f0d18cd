"""A stage's program: streams of random numbers, and every wrong command line ending in one clear line."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import distributed

from pipeline.command_line import read_command_line, run_program
from pipeline.run.processes import join
from pipeline.session import STREAMS, Session, open_session

TinyRun = Any
Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]


def never(session: Session) -> None:
    """A stage that must not be reached."""
    raise AssertionError("the stage was begun")


def nothing(session: Session) -> None:
    """A stage with nothing to do."""


@pytest.mark.slow
def test_streams_are_independent(finished: TinyRun, tmp_path: Path) -> None:
    """Each stream (and for weights each name) gives its own numbers, the same each time and another seed others."""

    def draws(*changes: str) -> dict[str, tuple[float, ...]]:
        config = read_command_line("program", [*finished.sizes, "--runs", str(tmp_path), *changes])
        with join("cpu") as processes, open_session(config, processes) as session:
            found = {stream: tuple(session.numpy_generator(stream).random(4)) for stream in STREAMS}
            for name in ("supernet", "winner_1"):
                found[name] = tuple(torch.rand(4, generator=session.torch_generator("weights", name)).tolist())
            assert numpy.random.default_rng([config.seed, 2]).random() == found["search"][0]
            return found

    first, again, other = draws("--run", "a"), draws("--run", "b"), draws("--run", "c", "--seed", "1")
    assert first == again
    assert len({*first.values(), *other.values()}) == 2 * len(first)


def test_shape_and_tables_follow_the_schema(copied: TinyRun) -> None:
    """Tables of the schema's sizes and the configured width, one a field, and the row's shape beside them."""
    with join("cpu") as processes, open_session(copied.config, processes) as session:
        schema = session.dataset.schema
        assert (session.shape.integers, session.shape.fields, session.shape.embedding_width) == (13, 26, 4)
        assert [table.num_embeddings for table in session.tables()] == list(schema.table_sizes)
        assert [table.feature_names for table in session.tables()] == [[name] for name in schema.categories]
        assert {table.embedding_dim for table in session.tables()} == {4}


def write_rows(folder: Path, labels: str = "10", **files: int) -> Path:
    """Criteo TSV files of so many rows each, with the labels in turn."""
    folder.mkdir()
    for name, rows in files.items():
        features = "\t".join([*["3"] * 13, *["ab12cd34"] * 26])
        (folder / f"{name}.tsv").write_text("".join(f"{labels[n % len(labels)]}\t{features}\n" for n in range(rows)))
    return folder


WRONG_COMMANDS = {
    "unknown run": (["quik"], r"unknown run 'quik'; named runs are "),
    "missing path": (["--data.path", "{tmp}/nowhere"], r"data\.path '.*/nowhere' does not exist; give a file"),
    "empty folder": (["--data.path", "{tmp}/empty", "--data.schema", "criteo"], r"{tmp}/empty"),
    "empty file": (["--data.path", "{tmp}/empty.tsv", "--data.schema", "criteo"], r"{tmp}/empty\.tsv"),
    "no schema": (["--data.path", "{tmp}/some"], r"data\.schema is empty and '.*' holds text"),
    "few rows": (
        ["--data.path", "{tmp}/some", "--data.schema", "criteo", "--supernet.batch-size", "512"],
        r"supernet\.batch_size is 512, but split 'train' has only 30 rows; lower it to 30 or less, or use more data",
    ),
    "one label": (
        [
            "--data.path",
            "{tmp}/clicked",
            *["--data.schema", "criteo", "--supernet.batch-size", "8", "--race.recipe.batch-size", "8"],
        ],
        r"split 'train': the label, column 'label', is 1 in each of its 30 rows, .*; give rows of both labels",
    ),
    "narrow limit": (
        [
            *("--data.path", "{tmp}/some", "--data.schema", "criteo", "--supernet.batch-size", "8"),
            *("--race.recipe.batch-size", "8", "--race.max-table-mb", "0.0001"),
        ],
        r"race\.max_table_mb is 0\.0001, but tables of width 4 take .* MB; raise it",
    ),
    "cuda": (["--device", "cuda"], r"device is cuda, but torch sees no CUDA device here .*; use --device cpu"),
}


@pytest.mark.parametrize("case", WRONG_COMMANDS)
def test_wrong_commands(case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One line on stderr naming what, where and what to do; exit code 1; the run's name stays free."""
    if case == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.tsv").touch()
    write_rows(tmp_path / "some", train=30, valid=5, test=5)
    write_rows(tmp_path / "clicked", labels="1", train=30, valid=5, test=5)
    arguments, message = WRONG_COMMANDS[case]
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    assert run_program(never, "program", [*arguments, "--runs", str(tmp_path / "runs")]) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert re.match("program: .*" + message.replace("{tmp}", str(tmp_path)), line)
    assert not list(tmp_path.glob("runs/default/config.json"))


def test_capped_tables_are_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One line names each table that is smaller than wanted, with its rows before and after; none where none is."""
    path = write_rows(tmp_path / "some", train=30, valid=5, test=5)
    arguments = f"--runs {tmp_path}/runs --supernet.batch-size 8 --race.recipe.batch-size 8".split()
    arguments += ["--data.path", str(path), "--data.numbering", "hash"]
    schema: dict[str, Any] = {"name": "small", "label": "label", "integers": [], "categories": ["a", "b", "c"]}
    schema |= {"table_sizes": [5, 300, 12_345], "columns": ["label", *(f"i{n}" for n in range(36)), "a", "b", "c"]}
    (path / "schema.json").write_text(json.dumps(schema))
    assert run_program(nothing, "program", [*arguments, "--run", "a", "--data.max-table-rows", "100"]) == 0
    (line,) = capfd.readouterr().out.splitlines()
    assert line == "data       rows of tables that data.max_table_rows caps: t_b 300 → 100, t_c 12,345 → 100"
    assert run_program(nothing, "program", [*arguments, "--run", "b"]) == 0
    assert capfd.readouterr().out == ""


def test_a_split_by_time_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One line says that the log is split by time, though nobody asked, and where."""
    lines = [f"{row % 2},{row % 7},2024-05-{1 + row // 4:02}" for row in range(100)]
    (tmp_path / "log.csv").write_text("\n".join(["label,item,day", *lines]) + "\n")
    schema = {"label": "label", "integers": [], "categories": ["item"], "table_sizes": [9], "integer_ids": ["item"]}
    (tmp_path / "schema.json").write_text(json.dumps({**schema, "delimiter": ",", "timestamp": "day"}))
    arguments = f"--runs {tmp_path}/runs --run a --supernet.batch-size 8 --race.recipe.batch-size 8".split()
    arguments += ["--data.path", str(tmp_path / "log.csv"), "--data.schema", str(tmp_path / "schema.json")]
    assert run_program(nothing, "program", arguments) == 0
    (line,) = capfd.readouterr().out.splitlines()
    train = "80 rows 2024-05-01 00:00:00 to 2024-05-20 00:00:00 train"
    assert line.startswith(f"data       split by time, column 'day': {train}, 8 rows 2024-05-21")


@pytest.mark.slow
def test_another_configuration(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """The same run with other settings is refused, saying which differ; nothing in its folder changes."""
    before = {path: path.read_bytes() for path in copied.path.rglob("*") if path.is_file() and path.name != "lock"}
    assert copied.program(never, "--search.generations", "3", "--data.rows", "2000") == 1
    said = capfd.readouterr().err
    assert "holds a run of another configuration" in said
    assert "  data.rows: 1000 there, 2000 here\n  search.generations: 2 there, 3 here\n" in said
    after = {path: path.read_bytes() for path in copied.path.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before


@pytest.mark.slow
def test_a_second_writer(copied: TinyRun, ready: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """While one session is open, the same command elsewhere ends at once with the first one's process id."""

    def again(session: Session) -> None:
        program = "import runpy; runpy.run_module('pipeline.train', run_name='__main__')"
        (ended,) = ready.run([(program, copied.arguments, {**os.environ, "OMP_NUM_THREADS": "1"})])
        assert ended.returncode == 1
        expected = f"pipeline.train: {copied.path} is being written by another process (pid {os.getpid()} on "
        assert ended.stderr.startswith(expected) and len(ended.stderr.splitlines()) == 1

    assert copied.program(again) == 0, capfd.readouterr().err
    assert copied.program(nothing) == 0


def test_stopped_by_hand(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends with status 130 and a word on how to go on, not with a stack."""

    def interrupted(session: Session) -> None:
        raise KeyboardInterrupt

    assert copied.program(interrupted) == 130
    assert capfd.readouterr().err == "program: stopped; the same command resumes from here\n"


def test_stopped_by_a_scheduler(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """SIGTERM where no training is under way ends at once, with status 143 and the same word."""

    def asked(session: Session) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")

    assert copied.program(asked) == 143
    assert capfd.readouterr().err == "program: stopped; the same command resumes from here\n"


def test_a_lost_process_is_one_line(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """A store or a rank that is gone is one line with what to do; other errors of torch's are not taken for that."""

    def lost(session: Session) -> None:
        raise distributed.DistNetworkError("failed to recv, got 0 bytes\nException raised from recvBytes at Utils.hpp")

    assert copied.program(lost) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line == (
        "program: the process that keeps the run's store is gone or does not answer (failed to recv, got 0 bytes); "
        "the same command resumes from the last checkpoint, on as many processes as there are then"
    )

    def wrong(session: Session) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        copied.program(wrong)


def test_a_changed_log_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A run goes on with its log in another place, and not with another log: one line names the file."""
    log = write_rows(tmp_path / "log", train=30, valid=5, test=5)
    options = f"--data.schema criteo --runs {tmp_path}/runs --supernet.batch-size 8 --race.recipe.batch-size 8".split()
    assert run_program(nothing, "program", [*options, "--data.path", str(log)]) == 0
    moved = log.rename(tmp_path / "moved")
    assert run_program(nothing, "program", [*options, "--data.path", str(moved)]) == 0
    with (moved / "valid.tsv").open("a") as file:
        file.write((moved / "test.tsv").read_text())
    capfd.readouterr()
    assert run_program(never, "program", [*options, "--data.path", str(moved)]) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert re.search(r"runs/default was begun with: valid\.tsv has 2,\d+ bytes and had 1,\d+; put back what", line), (
        line
    )


RANK = """
import json, sys
from pipeline.command_line import run_program
def stage(session):
    session.processes.gather(0)
    if session.processes.rank == 1:
        raise ValueError("a row that only rank 1 reads is broken")
for arguments in json.loads(sys.argv[1]):
    print(run_program(stage, "program", arguments), flush=True)
"""


@pytest.mark.slow
def test_two_ranks_are_refused_once(ranks: Ranks, tmp_path: Path) -> None:
    """More ranks than rows, a batch that ranks cannot share and an error on one rank alone: exit code 1, and the
    message is there exactly once."""
    few = write_rows(tmp_path / "few", train=30, valid=1, test=5)
    enough = write_rows(tmp_path / "enough", train=30, valid=5, test=5)
    cases = (
        (few, 10, "more ranks than rows: split 'valid' has 1 rows for 2 ranks; use fewer processes or more data"),
        (enough, 9, "supernet.batch_size is 9, which 2 ranks cannot share evenly; use a multiple of 2"),
        (enough, 10, "a row that only rank 1 reads is broken"),
    )
    commands = [
        [
            *("--data.path", str(path), "--data.schema", "criteo", "--runs", str(tmp_path / "runs"), "--device", "cpu"),
            *("--supernet.batch-size", str(batch_size), "--race.recipe.batch-size", str(batch_size)),
        ]
        for path, batch_size, _ in cases
    ]
    ended = ranks(2, RANK, json.dumps(commands), check=False)
    said = "".join(process.stderr for process in ended)
    assert [said.count(f"program: {message}\n") for _, _, message in cases] == [1, 1, 1], said
    assert ended[1].stdout.split() == ["1", "1", "1"]
