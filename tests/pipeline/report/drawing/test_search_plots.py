"""The search's pictures say how many points they hold and which lie outside; nothing is dropped in silence."""

import dataclasses
from pathlib import Path
from typing import Literal

import pytest

from pipeline.report.drawing.search_plots import loss_over_cost, search_progress
from pipeline.report.run_records import RunRecords, read_run


@pytest.fixture(scope="module")
def run(finished_run: Path) -> RunRecords:
    """A complete run."""
    return read_run(finished_run)


def test_winners_can_be_hovered(run: RunRecords) -> None:
    """Each winner's candidate is named with its score."""
    svg = search_progress(run).svg
    for winner in run.winners.winners:
        assert f"<title>Candidate {winner.index}: {winner.score:.5f}</title>" in svg


def test_candidates_outside_the_frame_are_counted(run: RunRecords) -> None:
    """Two candidates far worse than all others are said to lie above the frame."""
    far = [dataclasses.replace(candidate, score=5.0) for candidate in run.candidates[:2]]
    picture = search_progress(dataclasses.replace(run, candidates=(*far, *run.candidates[2:])))
    assert "Above the frame: the worst 2." in picture.caption


def test_candidates_that_failed_have_no_dot(run: RunRecords) -> None:
    """They are counted in the caption, and neither picture of the search stumbles over them."""
    states: tuple[Literal["failed", "refused"], ...] = ("failed", "failed", "failed", "refused")
    failed = [
        dataclasses.replace(candidate, score=None, state=state, reason="why")
        for candidate, state in zip(run.candidates, states, strict=False)
    ]
    some = dataclasses.replace(run, candidates=(*failed, *run.candidates[4:]), winners=None)
    picture = search_progress(some)
    assert f"Each dot is one of {len(run.candidates) - 4} candidates" in picture.caption
    assert "Without a dot: the 3 that failed" in picture.caption
    assert "Without a dot: the 1 that were refused" in picture.caption
    assert "failed" not in search_progress(run).caption
    assert loss_over_cost(some, run.results, alone=True).svg


def test_bands_only_where_there_are_generations(run: RunRecords) -> None:
    """One generation has no bands, and the caption mentions none."""
    several = [dataclasses.replace(candidate, generation=place // 6) for place, candidate in enumerate(run.candidates)]
    single = [dataclasses.replace(candidate, generation=0) for candidate in run.candidates]
    assert "Bands" in search_progress(dataclasses.replace(run, candidates=tuple(several))).caption
    assert "Bands" not in search_progress(dataclasses.replace(run, candidates=tuple(single))).caption


def test_every_model_is_named_and_hovered(run: RunRecords) -> None:
    """Each retrained model, searched or hand-made, has a label and says its log loss."""
    svg = loss_over_cost(run, run.results, alone=True).svg
    for model in run.results.models:
        assert f">{model.title}</text>" in svg
        assert f"{model.title}: test log loss {model.test.log_loss:.5f}" in svg


@pytest.mark.parametrize("oracle", [0.4519, 0.1])
def test_best_possible_is_drawn_or_said_to_lie_below(run: RunRecords, oracle: float) -> None:
    """The best possible log loss is a line near the models, and a note where it is far below."""
    svg = loss_over_cost(run, dataclasses.replace(run.results, oracle_test_log_loss=oracle), True).svg
    assert (f"best possible {oracle:.4f}<" in svg) == (oracle > 0.4)
    assert (f"best possible: {oracle:.4f}, below the frame" in svg) == (oracle < 0.4)


@pytest.mark.slow
def test_given_architectures_have_a_look_of_their_own(run: RunRecords) -> None:
    """An architecture given as a file is neither blue nor orange, and the caption says what its colour means."""
    winner = run.results.best_model
    given = dataclasses.replace(winner, kind="given", title="Mine", supernet_score=None)
    picture = loss_over_cost(run, dataclasses.replace(run.results, models=(*run.results.models, given)), alone=False)
    assert "Purple: architectures given as files." in picture.caption
    assert 'id="cost-model-given-searched_1"' in picture.svg and 'id="cost-model-searched-searched_1"' in picture.svg
    assert "Purple" not in loss_over_cost(run, run.results, alone=True).caption


@pytest.mark.slow
def test_seeds_have_bars(run: RunRecords) -> None:
    """The caption mentions the standard deviation over seeds exactly where a model has several."""
    single = [dataclasses.replace(model, seeds=model.seeds[:1]) for model in run.results.models]
    assert "over seeds" in loss_over_cost(run, run.results, alone=True).caption
    alone = loss_over_cost(run, dataclasses.replace(run.results, models=tuple(single)), alone=True)
    assert "over seeds" not in alone.caption
