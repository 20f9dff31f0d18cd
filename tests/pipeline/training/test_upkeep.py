"""pipeline/training/upkeep.py in the loop: saves beside the steps, SIGTERM, damage, a full disk; the same weights."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.run import checkpoint, tensor_files
from pipeline.run.checkpoint import _checksum
from pipeline.run.processes import Processes, join
from pipeline.run.stopping import Stopped, sigterm_stops
from tests.pipeline.training.toy import Rows, checkpoints, is_equal, trained

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]
ALWAYS = 1e-9
"""Minutes between checkpoints, so few that one is due at every step."""


@pytest.fixture
def processes() -> Iterator[Processes]:
    """A group of one."""
    with join("cpu") as joined:
        yield joined


def stop_at(step: int) -> Callable[[int], None]:
    """Sends this process SIGTERM before a step."""
    return lambda current: os.kill(os.getpid(), signal.SIGTERM) if current == step else None


@pytest.mark.parametrize("changes", [{"checkpoint_minutes": ALWAYS}, {"checkpoint_every": 3}])
def test_saves_change_nothing(tmp_path: Path, processes: Processes, changes: dict[str, Any]) -> None:
    """However often checkpoints are written, weights and metrics are those without; only the last one is left."""
    plain, saved = (trained(tmp_path / name, processes, **own) for name, own in (("a", {}), ("b", changes)))
    assert is_equal(plain, saved)
    assert checkpoints(tmp_path / "a") == checkpoints(tmp_path / "b") == ["step_00000020"]
    metrics = [(tmp_path / name / "checkpoints/stage/metrics.jsonl").read_text() for name in "ab"]
    assert metrics[0] == metrics[1] and metrics[0].count("\n") == 4


def test_a_step_does_not_wait_for_the_disk(
    tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a checkpoint is being written, training takes its steps; the next is begun when that one is complete."""
    released, begun = threading.Event(), list[str]()
    write = tensor_files.SummedFile.write

    def slow(self: Any, tensor: torch.Tensor) -> None:
        begun.append(threading.current_thread().name)
        if threading.current_thread() is not threading.main_thread():
            assert released.wait(60)
        write(self, tensor)

    seen = dict[int, list[str]]()

    def before(step: int) -> None:
        seen[step] = checkpoints(tmp_path)
        if step == 12:
            released.set()
            while "step_00000001" not in checkpoints(tmp_path):
                time.sleep(0.001)

    monkeypatch.setattr(tensor_files.SummedFile, "write", slow)
    found = trained(tmp_path, processes, stream=Rows(processes, 20, before=before), checkpoint_minutes=ALWAYS)
    assert all(seen[step] in ([], ["partial_00000001"]) for step in range(12))
    assert "step_00000001" in seen[13] and len(seen) == 20
    monkeypatch.undo()
    assert is_equal(found, trained(tmp_path / "plain", processes))


def test_sigterm_saves_and_ends(tmp_path: Path, processes: Processes) -> None:
    """Training ends behind a checkpoint of the step that it was in, and goes on from there to the very same weights."""
    expected = trained(tmp_path / "whole", processes)
    with sigterm_stops(), pytest.raises(Stopped):
        trained(tmp_path / "run", processes, stream=Rows(processes, 20, before=stop_at(6)))
    assert checkpoints(tmp_path / "run") == ["step_00000007"]
    first = Rows(processes, 20, before=lambda step: steps.append(step))
    steps = list[int]()
    assert is_equal(trained(tmp_path / "run", processes, stream=first), expected)
    assert steps == list(range(7, 20))


def test_sigterm_in_the_last_step(tmp_path: Path, processes: Processes) -> None:
    """What was asked to stop in its last step has finished, and stops."""
    with sigterm_stops(), pytest.raises(Stopped):
        trained(tmp_path / "run", processes, stream=Rows(processes, 20, before=stop_at(19)))
    assert checkpoints(tmp_path / "run") == ["step_00000020"]
    assert is_equal(trained(tmp_path / "run", processes), trained(tmp_path / "whole", processes))


def cut(folder: Path) -> None:
    """Half of the tensors are gone."""
    path = folder / "rank_00000.tensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill_with_nan(folder: Path) -> None:
    """The numbers are NaN, and the checksums fit."""
    path = folder / "rank_00000.tensors"
    path.write_bytes(b"\xff" * path.stat().st_size)
    sums = json.loads((folder / "checksums.json").read_text())
    (folder / "checksums.json").write_text(json.dumps({**sums, path.name: _checksum(path)}))


def lose_the_index(folder: Path) -> None:
    """A file is missing."""
    (folder / "tensors.json").unlink()


def lose_the_checksums(folder: Path) -> None:
    """It is not complete."""
    (folder / "checksums.json").unlink()


DAMAGES = {one.__name__: one for one in (cut, fill_with_nan, lose_the_index, lose_the_checksums)}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_a_damaged_one(
    tmp_path: Path, processes: Processes, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the newest checkpoint is damaged, training goes on from the one before it to the very same weights, and a
    line says so; what is damaged is gone at the end. Where both are, that is an error, and nothing is lost."""
    expected = trained(tmp_path / "whole", processes)
    with sigterm_stops(), pytest.raises(Stopped):
        trained(tmp_path / "run", processes, stream=Rows(processes, 20, before=stop_at(7)), checkpoint_every=3)
    stage = tmp_path / "run" / "checkpoints" / "stage"
    assert checkpoints(tmp_path / "run") == ["step_00000006", "step_00000008"]
    DAMAGES[damage](stage / "step_00000008")
    shutil.copytree(tmp_path / "run", tmp_path / "both")
    steps = list[int]()
    capsys.readouterr()
    found = trained(tmp_path / "run", processes, stream=Rows(processes, 20, before=steps.append))
    assert is_equal(found, expected) and steps == list(range(6, 20))
    said = capsys.readouterr().out
    if damage != "lose_the_checksums":  # that one was never complete
        assert "damaged checkpoint: " in said and "; the one before it is taken" in said and said.count("\n") == 1
    assert checkpoints(tmp_path / "run") == ["step_00000020"]
    if damage != "lose_the_checksums":
        DAMAGES[damage](tmp_path / "both" / "checkpoints" / "stage" / "step_00000006")
        with pytest.raises(ValueError, match=r"damaged checkpoint: .*; remove .* to start this stage again"):
            trained(tmp_path / "both", processes)
        assert checkpoints(tmp_path / "both") == ["damaged_00000008", "step_00000006"]


@pytest.mark.parametrize("is_last", [False, True])
def test_a_full_disk(
    tmp_path: Path,
    processes: Processes,
    is_last: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A checkpoint beside training that cannot be written is a line, the ones before stay, and the next is tried; the
    one at the end is an error. Nothing half-written stays."""
    steps, finish = list[int](), checkpoint._finish

    def full(partial: Path, final: Path, *others: Any) -> None:
        if final.name in (["step_00000020"] if is_last else ["step_00000006", "step_00000009"]):
            raise OSError(28, "No space left on device")
        finish(partial, final, *others)

    monkeypatch.setattr(checkpoint, "_finish", full)

    def before(step: int) -> None:
        steps.append(step)
        if step == 19 and not is_last:
            assert "step_00000015" in checkpoints(tmp_path)

    stream = Rows(processes, 20, before=before)
    if is_last:
        with pytest.raises(OSError, match=r"step_00000020: the checkpoint could not be written \(OSError: .*No space"):
            trained(tmp_path, processes, stream=stream, checkpoint_every=3)
        assert checkpoints(tmp_path) == ["step_00000015", "step_00000018"]
        return
    found = trained(tmp_path, processes, stream=stream, checkpoint_every=3)
    said = capsys.readouterr().out
    assert said.count("the checkpoint could not be written (OSError: [Errno 28] No space left on device)") == 2
    assert said.count("Training goes on with the earlier one") == 2 and steps == list(range(20))
    monkeypatch.undo()
    assert is_equal(found, trained(tmp_path / "plain", processes))


RANK = """
import json, os, signal, sys
from pathlib import Path
from pipeline.run.processes import join
from pipeline.run.stopping import Stopped, sigterm_stops
from tests.pipeline.training.toy import Rows, trained
folder, stopped_rank, minutes = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with sigterm_stops(), join("cpu") as processes:
    def before(step):
        if step == 6 and processes.rank == stopped_rank:
            os.kill(os.getpid(), signal.SIGTERM)
    try:
        found = trained(folder, processes, stream=Rows(processes, 40, before=before), checkpoint_minutes=minutes)
        print(json.dumps([one.tolist() for one in found]))
    except Stopped:
        print(json.dumps("stopped"))
"""


@pytest.mark.slow
def test_one_rank_is_asked_to_stop(ranks: Ranks, tmp_path: Path) -> None:
    """SIGTERM to one of two ranks ends both at the same step, behind a checkpoint; the two go on to the weights of a
    run that nothing stopped, with checkpoints beside the steps or without. One of them has no table."""

    def run(name: str, rank: int, minutes: float) -> list[str]:
        ended = ranks(2, RANK, str(tmp_path / name), str(rank), str(minutes))
        return [process.stdout.splitlines()[-1] for process in ended]

    assert run("run", 1, 0) == [json.dumps("stopped")] * 2
    (kept,) = checkpoints(tmp_path / "run")
    assert 7 <= int(kept.removeprefix("step_")) < 40
    assert run("run", -1, ALWAYS) == run("whole", -1, 0)
