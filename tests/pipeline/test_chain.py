"""The whole chain, in real processes: finished, repeated, killed, on two ranks, and given what is broken."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.kill_and_resume import PROJECT, REPRODUCED, RUN, differing, kill_and_resume
from modules.space import OPEN
from pipeline import chain
from pipeline.chain import exported, run_chain
from pipeline.codesign import codesign
from pipeline.config import ExportConfig, RunConfig
from pipeline.export import export_best
from pipeline.race.config import RaceConfig
from pipeline.race.stage import race
from pipeline.retrain import retrain
from pipeline.run.records.codec import RUN_FORMAT
from pipeline.search.stage import search_supernet
from pipeline.train import train_supernet
from tests.pipeline.report.small_results import small_model, small_results

TinyRun = Any


def contents(run: Path) -> dict[str, bytes]:
    """The files that are the same however a run went."""
    return {name: (run / name).read_bytes() for name in REPRODUCED}


def test_a_run_leaves_whole_files_only(finished: TinyRun) -> None:
    """Every file of the run folder is there, and nothing half-written; the terminal shows network, figures, paths."""
    for name in (*REPRODUCED, "report.html", "timings.json"):
        assert (finished.path / name).stat().st_size > 0
    assert not [path for path in finished.path.rglob("*") if ".tmp-" in path.name or "partial" in path.name]
    printed = (finished.folder / "printed.txt").read_text()
    words = (
        "data ",
        "supernet ",
        "search ",
        "race ",
        "retrain ",
        "codesign ",
        "export ",
        "╭",
        "model.pt",
        "report.html",
    )
    assert all(f"\n{word}" in f"\n{printed}" or word in printed for word in words)
    assert set(json.loads((finished.path / "timings.json").read_text())["stages"]) == {
        *("supernet", "search", "race", "retrain", "trees", "codesign", "export")
    }


def test_the_last_line_says_what_is_exported() -> None:
    """Nothing is added for the best model; another one, and the mean of trainings, are named."""
    found, dlrm = small_model("found", "searched", 0.45, 0.46), small_model("dlrm", "handmade", 0.47, 0.48)
    results = small_results(found, (dlrm, 0.001))
    assert exported(results, ExportConfig()) == exported(results, ExportConfig(model="found")) == ""
    assert exported(results, ExportConfig(model="dlrm")) == f" ({dlrm.title}, as asked)"
    assert exported(results, ExportConfig(ensemble=True)) == " (the mean of 2 trainings)"
    both = exported(results, ExportConfig(model="dlrm", ensemble=True))
    assert both == f" ({dlrm.title}, as asked; the mean of 2 trainings)"


@pytest.mark.parametrize(
    ("race", "said"),
    [
        (RaceConfig(from_supernet=0), "supernet   none: race.from_supernet is 0"),
        (RaceConfig(supernet_rows=801), "on 800 training rows, under race.supernet_rows 801"),
        (RaceConfig(supernet_rows=800), ""),
    ],
)
def test_a_small_log_has_no_supernet(race: RaceConfig, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supernet is trained and searched first where the log has the rows for it; elsewhere one line says why not."""
    stages, lines = list[str](), list[str]()
    monkeypatch.setattr(chain, "_timed", lambda _, name, __: stages.append(name))
    monkeypatch.setattr(chain, "describe_data", lambda _: None)
    monkeypatch.setattr(chain, "workers", lambda _: contextlib.nullcontext())

    def end(_: object) -> None:
        raise InterruptedError("the stages are over")

    processes = SimpleNamespace(on_first=lambda action: action())
    config = RunConfig(race=race)
    session = SimpleNamespace(
        config=config,
        space=OPEN,
        processes=processes,
        dataset=SimpleNamespace(rows=lambda _: 800),
        say=lines.append,
        folder=SimpleNamespace(path=None),
    )
    monkeypatch.setattr(chain, "write_report", lambda *_: end(_))
    with pytest.raises(InterruptedError):
        run_chain(session)  # type: ignore[arg-type]
    assert stages == [*(() if said else ("supernet", "search")), "race", "retrain", "trees", "codesign", "export"]
    assert (len(lines) == 1 and said in lines[0]) if said else not lines


@pytest.mark.slow
def test_the_same_command_again_changes_nothing(
    copied: TinyRun, finished: TinyRun, capfd: pytest.CaptureFixture[str]
) -> None:
    """A finished run only says again what it found, stage by stage."""
    assert copied.program(run_chain) == 0
    assert contents(copied.path) == contents(finished.path)
    said = [line.split()[0] for line in capfd.readouterr().out.splitlines() if re.match(r"[a-z]+  ", line)]
    stages = ["data", "data", "supernet", "search", *["race"] * 3, "retrain", "retrain", "trees", *["codesign"] * 5]
    assert said == [*stages, "export", "found"]


@pytest.mark.slow
def test_killed_and_continued(finished: TinyRun, tmp_path: Path) -> None:
    """SIGKILL of the whole process group at seeded random moments, each time the same command again: in the end every
    reproduced file equals the undisturbed run's byte for byte, and no other file lies about."""
    kills = kill_and_resume(finished.folder, finished.first_line_s, tmp_path, finished.sizes, kills=3, seed=10)
    assert sum(kill.hit for kill in kills) >= 2, kills
    assert len({kill.stage for kill in kills}) == 3
    assert differing(finished.folder, tmp_path) == []


@pytest.mark.slow
def test_on_two_machines(finished: TinyRun, tmp_path: Path) -> None:
    """Two agents of one process each, as on two machines, finish the chain: both end well, the files are those of any
    run, and the tables were planned for two nodes of one rank, with some on each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{free.getsockname()[1]}"
    agent = ["-m", "launch.agent", "--nnodes=2", "--nproc-per-node=1", "--local-addr=127.0.0.1"]
    agent += ["--rdzv-backend=c10d", f"--rdzv-endpoint={meeting}", "--rdzv-id=test", "-m", "--", "pipeline.chain"]
    command = [sys.executable, *agent, *finished.sizes, "--runs", str(tmp_path), "--run", RUN]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    agents = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=1800) for process in agents]
    assert [process.returncode for process in agents] == [0, 0], said
    assert sum("found " in out for out, _ in said) == 1, "rank 0 alone speaks"
    assert all((tmp_path / RUN / name).stat().st_size > 0 for name in (*REPRODUCED, "report.html"))
    plans = [json.loads(path.read_text()) for path in (tmp_path / RUN / "plans").iterdir()]
    nodes = [
        (plan["request"]["cluster"]["world_size"], plan["request"]["cluster"]["local_world_size"]) for plan in plans
    ]
    assert (2, 1) in nodes and set(nodes) <= {(2, 1), (1, 1)}
    for plan in plans:
        ranks = {shard["rank"] for table in plan["tables"] for shard in table["shards"]}
        assert ranks == set(range(plan["request"]["cluster"]["world_size"]))


@pytest.mark.slow
def test_on_two_ranks(finished: TinyRun, tmp_path: Path) -> None:
    """torchrun's two gloo processes finish the chain; and from the supernet that they left, one rank's search, race,
    trainings to the end and co-design find the same, byte for byte: candidates, winners, every trial, finalists,
    results, and the mapping."""
    torchrun = ["-m", "launch.agent", "--standalone", "--nproc-per-node=2", "-m", "--", "pipeline.chain"]
    two = [*finished.sizes, "--runs", str(tmp_path / "two"), "--run", RUN]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    ended = subprocess.run([sys.executable, *torchrun, *two], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "2 process(es), cpu" in ended.stdout and ended.stdout.count("\nfound ") == 1
    found, one = tmp_path / "two" / RUN, tmp_path / "runs" / RUN
    decided = (
        *("winners.json", "candidates.jsonl", "candidates.parquet", "race.jsonl", "race.json", "results.json"),
        *("codesign_measurements.json", "codesign.json"),
    )
    shutil.copytree(found, one, ignore=shutil.ignore_patterns(*decided, "retrain"))
    for stage in (search_supernet, race, retrain, codesign):
        assert type(finished)(tmp_path, finished.sizes, 0).program(stage) == 0
    for name in decided:
        assert (one / name).read_bytes() == (found / name).read_bytes()
    supernet = "checkpoints/supernet/metrics.jsonl"
    metrics = [json.loads(line) for line in (found / supernet).read_text().splitlines()]
    alone = [json.loads(line) for line in (finished.path / supernet).read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in metrics] == [(line["stage"], line["step"]) for line in alone]


@pytest.mark.parametrize(
    ("stage", "needs", "message"),
    [
        (search_supernet, "checkpoints/supernet", "checkpoints/supernet: no checkpoint; train this stage first"),
        (race, "winners.json", r"winners\.json does not exist; run the search first \(python -m pipeline\.search\)"),
        (retrain, "race.json", r"race\.json does not exist; run the race first \(python -m pipeline\.race\)"),
        (codesign, "results.json", r"results\.json does not exist; train the finalists first"),
        (export_best, "results.json", r"results\.json does not exist; train the finalists first"),
    ],
)
def test_a_stage_without_the_one_before(
    copied: TinyRun, stage: Callable[..., object], needs: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A stage's own program says which file is missing and which program makes it."""
    if (copied.path / needs).is_dir():
        shutil.rmtree(copied.path / needs)
    else:
        (copied.path / needs).unlink()
    for own in ("winners.json", "race.json", "results.json", "codesign.json", "model.pt"):
        if own != needs:
            (copied.path / own).unlink()
    assert copied.program(stage) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert re.search(message, line)


def change_block(change: dict[str, Any]) -> Callable[[str], str]:
    """Changes fields of the first winner's third block in winners.json."""

    def edit(text: str) -> str:
        document = json.loads(text)
        document["winners"][0]["architecture"]["blocks"][2].update(change)
        return json.dumps(document)

    return edit


def change_document(change: dict[str, Any]) -> Callable[[str], str]:
    """Changes fields of a document."""
    return lambda text: json.dumps({**json.loads(text), **change})


BROKEN: dict[str, tuple[str, Callable[[str], str], str]] = {
    "winners cut": ("winners.json", lambda text: text[:-40], r"winners\.json: not JSON at line \d+, column \d+"),
    "no winners": (
        "winners.json",
        change_document({"winners": []}),
        r"winners\.json: winners is empty; .*; repair the file, or remove it: the same command writes it again",
    ),
    "no candidate": (
        "winners.json",
        change_document({"winners": [3]}),
        r"winners\.json: field 'winners\[0\]': found 3, expected an object",
    ),
    "other format": (
        "winners.json",
        change_document({"format": 1}),
        r"winners\.json: field 'format': found 1, this version reads \d",
    ),
    "later block": (
        "winners.json",
        change_block({"dense_inputs": [5]}),
        r"'winners\[0\]\.architecture': block 3, dense_inputs: \[5\] has an input that is not an earlier output",
    ),
    "unknown operator": (
        "winners.json",
        change_block({"dense_operators": ["conv"]}),
        r"'winners\[0\]\.architecture': block 3, dense_operators: .*'conv'",
    ),
    "other space": (
        "winners.json",
        change_block({"sparse_operators": ["attention"]}),
        r"'winners\[0\]\.architecture': block 3, sparse_operators: .*'attention'.* nasrec_small",
    ),
    "width": (
        "winners.json",
        change_block({"dense_width": 17}),
        r"'winners\[0\]\.architecture': block 3, dense_width: 17 is outside nasrec_small; it has \[16, 32",
    ),
    "results cut": ("results.json", lambda text: text[:-40], r"results\.json: not JSON at line \d+, column \d+"),
    "no models": (
        "results.json",
        lambda _: json.dumps({"format": RUN_FORMAT}),
        r"results\.json: field 'models': is missing; repair the file",
    ),
    "no best": (
        "results.json",
        change_document({"best": "winner_9"}),
        r"results\.json: field 'best': found 'winner_9', which is not one of the models \[",
    ),
    "config cut": ("config.json", lambda text: text[:-40], r"config\.json: not JSON at line \d+"),
    "a candidate cut": (
        "candidates.jsonl",
        lambda text: text.replace("\n", "", 1),
        r"candidates\.jsonl, line 1: not JSON: Extra data.*; repair or remove the line",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(copied: TinyRun, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The chain stops with one line naming the file, what is wrong in it and what to do, and changes nothing."""
    name, edit, message = BROKEN[case]
    later = ["report.html", "model.pt", "codesign.json", "results.json", "race.json", "winners.json"]
    if name in ("winners.json", "candidates.jsonl"):
        for other in later[: later.index("winners.json") + (name != "winners.json")]:
            (copied.path / other).unlink()
        shutil.rmtree(copied.path / "checkpoints" / "retrain")
    broken = copied.path / name
    broken.write_text(edit(broken.read_text()))
    before = {path.name: path.read_bytes() for path in copied.path.glob("*.js*")}
    assert copied.program(run_chain) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert re.search(message, line) and "Traceback" not in line
    after = {path.name: path.read_bytes() for path in copied.path.glob("*.js*")}
    assert {**after, "timings.json": b""} == {**before, "timings.json": b""}


def test_a_run_of_another_version_is_refused(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """A run whose config.json has no format version ends every command with one line, and nothing in it changes."""
    config = copied.path / "config.json"
    document = json.loads(config.read_text())
    del document["format"]
    config.write_text(json.dumps(document))
    before = {path: path.read_bytes() for path in copied.path.rglob("*") if path.is_file() and path.name != "lock"}
    for stage in (run_chain, train_supernet, search_supernet, race, retrain, codesign, export_best):
        assert copied.program(stage) == 1
        (line,) = capfd.readouterr().err.strip().splitlines()
        assert f"{copied.path} was begun with another version of this program" in line and "--run" in line
    after = {path: path.read_bytes() for path in copied.path.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing", "progress"])
def test_damaged_checkpoint(copied: TinyRun, damage: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A run stopped in the middle of a stage with a damaged checkpoint says which file it is; with the folder removed,
    as the message says, the stage is done again and its result is the undisturbed one's."""
    result = copied.path / "checkpoints" / "supernet" / "result.json"
    expected = result.read_bytes()
    result.unlink()
    (checkpoint,) = (copied.path / "checkpoints" / "supernet").glob("step_*")
    damaged = checkpoint / ("progress.json" if damage == "progress" else "rank_00000.tensors")
    whole = damaged.read_bytes()
    damaged.unlink()  # not to be written into: another test's file too
    match damage:
        case "flipped":
            damaged.write_bytes(whole[:500] + bytes([whole[500] ^ 4]) + whole[501:])
        case "truncated":
            damaged.write_bytes(whole[: len(whole) // 2])
        case "missing":
            pass
        case "progress":
            damaged.write_bytes(whole[:-3])
    assert copied.program(train_supernet) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert f"damaged checkpoint: {damaged} " in line and f"remove {checkpoint} to start this stage again" in line
    if damage == "flipped":
        shutil.rmtree(checkpoint)
        assert copied.program(train_supernet) == 0
        assert result.read_bytes() == expected


@pytest.mark.slow
def test_disk_full(finished: TinyRun, ready: Any, tmp_path: Path) -> None:
    """With no room for checkpoints the supernet is trained to its end, each that failed on the way is a line, and the
    chain ends there with one line and status 1; nothing half-written stays, and with room again the same command ends
    with the undisturbed run's supernet."""
    arguments = [*finished.sizes, "--runs", str(tmp_path / "runs"), "--run", RUN]
    limited = (
        "import resource, sys; from pipeline.chain import run_chain; from pipeline.command_line import run_program;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY));"
        "sys.exit(run_program(run_chain, 'pipeline.chain', sys.argv[1:]))"
    )
    (ended,) = ready.run([(limited, arguments, {**os.environ, "OMP_NUM_THREADS": "1"})])
    run = tmp_path / "runs" / RUN
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert f"{run}/checkpoints/supernet/step_00000006: the checkpoint could not be written" in ended.stdout
    expected = rf"pipeline\.chain: {run}/checkpoints/supernet/step_0+12: the checkpoint could not be written"
    assert re.search(expected + r" .* is the disk full\? Make room and run the same command again", last)
    assert not [path for path in run.rglob("*") if ".tmp-" in path.name or "partial" in path.name]
    assert not list(run.glob("checkpoints/supernet/*_0*"))
    assert type(finished)(tmp_path, finished.sizes, 0).program(train_supernet) == 0
    result = "checkpoints/supernet/result.json"
    assert (run / result).read_bytes() == (finished.path / result).read_bytes()
    metrics = "checkpoints/supernet/metrics.jsonl"
    assert (run / metrics).read_bytes() == (finished.path / metrics).read_bytes()
