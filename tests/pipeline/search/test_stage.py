"""The search as a stage: from one supernet checkpoint, the same files each time."""

import json
from typing import Any

import pytest

from modules.supernet import Supernet
from pipeline.search import stage
from pipeline.search.stage import search_supernet
from pipeline.session import Session
from pipeline.training.supernet import load_supernet
from pipeline.training.trainee import Trainee

TinyRun = Any
WRITTEN = ("winners.json", "candidates.jsonl", "candidates.parquet")


@pytest.mark.slow
def test_searched_again_the_files_are_the_same(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """From the supernet's checkpoint alone the search writes what the chain's did, byte for byte, and says its best."""
    expected = {name: (copied.path / name).read_bytes() for name in WRITTEN}
    for name in WRITTEN:
        (copied.path / name).unlink()
    assert copied.program(search_supernet) == 0
    assert {name: (copied.path / name).read_bytes() for name in WRITTEN} == expected
    (winner,) = json.loads(expected["winners.json"])["winners"]
    line = f"search     winner 1: validation log loss {winner['score']:.4f} on the supernet's weights"
    assert line in capfd.readouterr().out


def test_cut_in_the_middle(copied: TinyRun) -> None:
    """Of a search that was killed while it wrote a line the rest is done again: the same files, byte for byte."""
    expected = {name: (copied.path / name).read_bytes() for name in WRITTEN}
    for name in WRITTEN:
        (copied.path / name).unlink()
    (copied.path / "candidates.jsonl").write_bytes(expected["candidates.jsonl"][:-30])
    assert copied.program(search_supernet) == 0
    assert {name: (copied.path / name).read_bytes() for name in WRITTEN} == expected


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("--search.max-mflops", "none of 1,000 random architectures is within search.max_mflops 1e-06: the least had"),
        ("--search.max-latency-us", "of 8 candidates 8 are over search.max_latency_us 1e-06 (the fastest took"),
    ],
)
def test_limits_that_leave_nothing(
    copied: TinyRun, capfd: pytest.CaptureFixture[str], limit: str, message: str
) -> None:
    """One line says which limit it was and what the cheapest network costs."""
    for path in copied.path.glob("*"):
        if path.name in (*WRITTEN, "config.json"):
            path.unlink()
    assert copied.program(search_supernet, limit, "0.000001") == 1
    assert message in capfd.readouterr().err.strip().splitlines()[-1]


def test_winners_json_belongs_to_the_candidates(finished: TinyRun) -> None:
    """The winner is the best line of candidates.jsonl, counted beside the supernet's own log loss."""
    winners = json.loads((finished.path / "winners.json").read_text())
    lines = [json.loads(line) for line in (finished.path / "candidates.jsonl").read_text().splitlines()]
    assert winners["candidates"] == len(lines) == 8
    assert winners["winners"] == [min(lines, key=lambda line: (line["score"], line["index"]))]
    result = json.loads((finished.path / "checkpoints" / "supernet" / "result.json").read_text())
    assert winners["supernet_valid_log_loss"] == result["valid_log_loss"]
    assert (winners["space"], winners["strategy"]) == ("nasrec_small", "evolution")


def test_all_failed(copied: TinyRun, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A supernet whose head is NaN has no winner: one line says so; candidates.jsonl holds what was tried."""
    for name in WRITTEN:
        (copied.path / name).unlink()

    def with_nan(session: Session) -> tuple[Supernet, Trainee]:
        supernet, trainee = load_supernet(session)
        supernet.parameters_by_name()["head.weight"].data.fill_(float("nan"))
        return supernet, trainee

    monkeypatch.setattr(stage, "load_supernet", with_nan)
    assert copied.program(search_supernet) == 1
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert "candidates.jsonl: all 8 candidates failed: none has a finite log loss" in last
    lines = [json.loads(line) for line in (copied.path / "candidates.jsonl").read_text().splitlines()]
    assert [(line["state"], line["score"]) for line in lines] == [("failed", None)] * 8
    assert all(line["reason"] == "its log loss on the supernet's weights is nan" for line in lines)
    assert not (copied.path / "winners.json").exists()


def test_done_before(copied: TinyRun) -> None:
    """With winners.json there, the stage only reads it: the supernet's checkpoint is not needed."""
    for path in copied.path.glob("checkpoints/supernet/step_*/*"):
        path.unlink()
    assert copied.program(search_supernet) == 0
