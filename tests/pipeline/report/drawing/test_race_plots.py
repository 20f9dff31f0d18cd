"""The race's picture holds every trial or says so; what mattered is drawn with its sign and said with its strength."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.report.drawing.race_plots import describe, race_progress, said, what_mattered
from pipeline.report.importance import Effect, Importance
from pipeline.report.run_records import read_run
from pipeline.run.records.race import Trial


@pytest.fixture(scope="module")
def trials(finished_run: Path) -> tuple[Trial, ...]:
    """A complete run's race."""
    return read_run(finished_run).trials


def test_every_trial_can_be_hovered(trials: tuple[Trial, ...]) -> None:
    """Whole trials, screenings and failed ones say who they are and what came of them."""
    svg = race_progress(trials).svg
    for trial in trials:
        assert f'id="race-trial-{trial.index}"' in svg
        assert describe(trial).split(";")[0] in svg
    failed = next(trial for trial in trials if trial.valid_log_loss is None)
    assert failed.failure in describe(failed)


def test_the_best_so_far_is_of_whole_trials(trials: tuple[Trial, ...]) -> None:
    """A screening with a lower log loss, which has seen fewer rows, does not count."""
    lucky = next(trial for trial in trials if not trial.is_whole)
    changed = [dataclasses.replace(one, valid_log_loss=0.44) if one is lucky else one for one in trials]
    whole = [trial.valid_log_loss for trial in trials if trial.is_whole and trial.valid_log_loss is not None]
    assert f">best {min(whole):.4f}</text>" in race_progress(changed).svg


def test_the_caption_counts(trials: tuple[Trial, ...]) -> None:
    """Trainings, whole ones, screenings, failures, and those above the frame."""
    whole = sum(trial.is_whole for trial in trials)
    caption = race_progress(trials).caption
    assert f"{len(trials)} trainings from scratch" in caption
    assert f"Filled: {whole} with" in caption and f"{len(trials) - whole} screenings" in caption
    assert "Crosses at the top: 1 failed." in caption and "Above the frame" not in caption
    far = [dataclasses.replace(one, valid_log_loss=7.0) if one.index in (0, 1) else one for one in trials]
    assert "Above the frame: the worst 2." in race_progress(far).caption


@pytest.mark.parametrize("kind", ["whole", "screened", "failed", "single"])
def test_races_of_one_sort(trials: tuple[Trial, ...], kind: str) -> None:
    """Whole trials only, screenings only, failures only, and a single trial are drawn, with no word about the rest."""
    chosen = {
        "whole": [trial for trial in trials if trial.is_whole and trial.valid_log_loss is not None],
        "screened": [trial for trial in trials if not trial.is_whole],
        "failed": [dataclasses.replace(one, valid_log_loss=None, failure="nan") for one in trials[:3]],
        "single": list(trials[:1]),
    }[kind]
    picture = race_progress(chosen)
    assert ("screenings" in picture.caption) == (kind == "screened")
    assert ("None had all rows yet" in picture.caption) == (kind == "screened")
    assert ("failed" in picture.caption) == (kind == "failed")
    assert (">failed</text>" in picture.svg) == (kind == "failed")


def test_the_legend_names_the_kinds_that_ran(trials: tuple[Trial, ...]) -> None:
    """Searched and hand-made here; given ones only where there are some."""
    svg = race_progress(trials).svg
    assert ">searched</text>" in svg and ">hand-made</text>" in svg and "given as a file" not in svg
    assert ">given as a file</text>" in race_progress([*trials, dataclasses.replace(trials[0], kind="given")]).svg


def importance(explained: float, count: int = 3, moved: int = 0) -> Importance:
    """Effects of falling size and alternating sign."""
    effects = tuple(
        Effect(f"choice {place}", "pass", 0.01 * sign, 0.001 * sign / (place + 1), 0.0005 * sign, 0.002 * sign)
        for place in range(count)
        for sign in ((-1) ** place,)
    )
    return Importance(effects, explained, 84, moved)


def test_the_largest_dozen_is_drawn() -> None:
    """Each of the first twelve effects has its name and its change per unit, with its sign."""
    svg = what_mattered(importance(0.62, 15)).svg
    assert ">choice 0</text>" in svg and ">choice 11</text>" in svg and "choice 12" not in svg
    assert svg.count(">+0.0100 per pass</text>") == 6 and svg.count(">−0.0100 per pass</text>") == 6


def test_how_much_is_explained_is_said() -> None:
    """In the caption, as a share of the variance of so many trials; a weak fit is said to be weak."""
    assert "explains .62 of the variance of 84 trials" in what_mattered(importance(0.62)).caption
    assert "too little" not in said(importance(0.62)) and "moved" not in said(importance(0.62))
    assert "explains .05 of" in said(importance(0.05)) and "too little to trust the bars" in said(importance(0.05))
    assert "moved nearer: 2." in said(importance(0.62, moved=2))
