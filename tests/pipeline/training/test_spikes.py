"""The guard: which losses are refused, and that each policy leaves what its words say."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.run.processes import Processes, join
from pipeline.run.records.codec import read_lines
from pipeline.run.records.progress import MetricsLine
from pipeline.training.config import TrainingConfig
from pipeline.training.diverged import Diverged
from pipeline.training.spikes import MOST_IN_A_ROW, WINDOW, Guard, Spike
from tests.pipeline.training.toy import Rows, checkpoints, config_of, is_equal, trained

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture
def processes() -> Iterator[Processes]:
    """A group of one."""
    with join("cpu") as joined:
        yield joined


def guard_of(config: TrainingConfig, pass_steps: int = 10_000, total_steps: int = 10_000) -> Guard:
    """A guard of one process."""
    return Guard("stage", config, ALONE, pass_steps, total_steps)


def first_refused(guard: Guard, losses: list[float]) -> int | None:
    """The step of the first loss that is refused, looked at in groups of seven."""
    for step, loss in enumerate(losses):
        guard.saw(step, torch.tensor(loss, dtype=torch.float64))
        if step % 7 == 6 or step == len(losses) - 1:
            try:
                guard.check()
            except Spike as spike:
                return spike.step
    return None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=3 * WINDOW), st.floats(1.5, 20.0))
def test_the_rule(losses: list[float], factor: float) -> None:
    """A loss is refused when it is above the factor times the largest of the WINDOW before it, and the first WINDOW
    never are: however the checks group them."""
    expected = next(
        (at for at in range(WINDOW, len(losses)) if losses[at] > factor * max(losses[at - WINDOW : at])), None
    )
    assert first_refused(guard_of(config_of(spike_factor=factor)), losses) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("factor", [0, 10.0])
def test_what_is_not_finite(bad: float, factor: float) -> None:
    """It is refused from the first step on, also where spikes are not looked for."""
    assert first_refused(guard_of(config_of(spike_factor=factor)), [0.5, 0.4, bad, 0.4]) == 2
    assert first_refused(guard_of(config_of(spike_factor=0)), [0.5] * 200 + [1e6]) is None


def test_rare_clicks_are_no_spikes() -> None:
    """Where one batch in thirty has clicks, those that have some are not refused."""
    losses = [2.0 if step % 30 == 0 else 0.001 for step in range(1000)]
    assert first_refused(guard_of(config_of()), losses) is None


@pytest.mark.parametrize(("tables", "expected"), [("kept", 200), ("fresh", None)])
def test_fresh_tables_begin_anew(tables: Any, expected: int | None) -> None:
    """The first losses of a pass whose tables are drawn anew are not compared with those of the pass before."""
    losses = [0.01] * 200 + [1.0] * 20
    assert first_refused(guard_of(config_of(tables=tables), pass_steps=200), losses) == expected


def test_too_many() -> None:
    """Steps skipped in a row, or a hundredth of all, are a training that diverged."""
    guard = guard_of(config_of(on_spike="skip"), total_steps=1000)
    for step in range(MOST_IN_A_ROW - 1):
        guard.skip(step)
    with pytest.raises(Diverged, match="stage, step 5: 5 steps had losses that are not finite or spikes"):
        guard.skip(MOST_IN_A_ROW - 1)
    guard = guard_of(config_of(on_spike="skip"), total_steps=1000)
    for step in range(0, 20, 2):
        guard.skip(step)
    with pytest.raises(Diverged, match="11 steps"):
        guard.skip(500)


def test_the_step_before_is_suspected() -> None:
    """Where the step behind a skipped one spikes too, the one before it may have done the harm: it is skipped too."""
    guard = guard_of(config_of(on_spike="roll_back"))
    guard.skip(7)
    assert guard.skipped == {7}
    guard.skip(8)
    assert guard.skipped == {6, 7, 8}


def test_the_state_goes_on() -> None:
    """A guard that was saved and loaded in the middle refuses what the uninterrupted one refuses."""
    losses = [0.5 + 0.001 * step for step in range(150)] + [7.0]
    guard, again = guard_of(config_of()), guard_of(config_of())
    assert first_refused(guard, losses[:140]) is None
    again.load_state_dict(guard.state_dict())
    for step in range(140, 151):
        again.saw(step, torch.tensor(losses[step]))
    with pytest.raises(Spike, match=r"step 151: the loss is 7"):
        again.check()


def skipped_of(folder: Path) -> list[int]:
    """The counts in metrics.jsonl."""
    lines = read_lines(folder / "checkpoints/stage/metrics.jsonl", MetricsLine)
    return [line.skipped_steps for _, line in lines]


def test_a_spoiled_batch(tmp_path: Path, processes: Processes, capsys: pytest.CaptureFixture[str]) -> None:
    """One batch with infinite inputs: skip and roll_back both leave the weights that the other batches make, say so
    once and count it; no other row is left out or read twice in what was learned; stop ends as diverged."""
    found = {}
    for policy in ("skip", "roll_back"):
        steps = list[int]()
        stream = Rows(processes, 20, frozenset({12}), steps.append)
        found[policy] = trained(tmp_path / policy, processes, stream=stream, on_spike=policy, checkpoint_every=4)
        said = capsys.readouterr().out
        assert said.count("step 13: the loss is nan") == 1
        assert "trained without the rows of 1 steps" in said
        assert skipped_of(tmp_path / policy) == [0, 0, 1, 1]
        assert steps == (list(range(20)) if policy == "skip" else [*range(15), *range(12, 20)])
        assert checkpoints(tmp_path / policy) == ["step_00000020"]
    assert is_equal(found["skip"], found["roll_back"])
    assert all(bool(one.isfinite().all()) for one in found["skip"])
    assert not is_equal(found["skip"], trained(tmp_path / "whole", processes))
    with pytest.raises(Diverged, match="stage, step 13: the loss, its gradient or a weight is not finite"):
        stream = Rows(processes, 20, frozenset({12}))
        trained(tmp_path / "stop", processes, stream=stream, on_spike="stop", checkpoint_every=4)
    assert checkpoints(tmp_path / "stop") == ["step_00000008", "step_00000012"]


def test_nothing_to_go_back_to(tmp_path: Path, processes: Processes) -> None:
    """Before the first checkpoint, going back is not possible: the training has diverged."""
    with pytest.raises(Diverged, match="stage, step 3: the loss, its gradient or a weight is not finite; lower"):
        trained(tmp_path, processes, stream=Rows(processes, 20, frozenset({2})))


def test_a_training_that_is_beyond_help(tmp_path: Path, processes: Processes) -> None:
    """Where every batch from the eleventh on is spoiled, both policies end as diverged; the last checkpoint, behind two
    skipped steps, stays."""
    for policy in ("skip", "roll_back"):
        stream = Rows(processes, 20, frozenset(range(10, 20)))
        with pytest.raises(Diverged, match="steps had losses that are not finite or spikes"):
            trained(tmp_path / policy, processes, stream=stream, on_spike=policy, checkpoint_every=4)
        assert checkpoints(tmp_path / policy)[-1] == "step_00000012"


def test_killed_behind_a_skipped_step(tmp_path: Path, processes: Processes) -> None:
    """A training that was stopped after it had skipped a step goes on to the weights of one that was not stopped."""

    def end(step: int) -> None:
        if step == 17:
            raise KeyboardInterrupt

    for policy in ("skip", "roll_back"):
        spoiled = frozenset({12})
        changes: dict[str, Any] = {"on_spike": policy, "checkpoint_every": 4}
        whole = trained(tmp_path / f"{policy}_whole", processes, stream=Rows(processes, 20, spoiled), **changes)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / policy, processes, stream=Rows(processes, 20, spoiled, end), **changes)
        assert is_equal(trained(tmp_path / policy, processes, stream=Rows(processes, 20, spoiled), **changes), whole)
        assert skipped_of(tmp_path / policy) == [0, 0, 1, 1]
