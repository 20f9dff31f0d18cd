"""The search's pictures say how many points they hold and which lie outside; nothing is dropped in silence."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.report.drawing.search_plots import (
    loss_over_cost,
    score_against_retrained,
    scored_models,
    search_progress,
    training_curves,
)
from pipeline.report.run_records import RunRecords, read_run
from pipeline.report.words import rank_agreement


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
    failed = [dataclasses.replace(candidate, score=None, state="failed") for candidate in run.candidates[:3]]
    some = dataclasses.replace(run, candidates=(*failed, *run.candidates[3:]), winners=None)
    picture = search_progress(some)
    assert f"Each dot is one of {len(run.candidates) - 3} candidates" in picture.caption
    assert "Without a dot: the 3 that failed" in picture.caption
    assert "failed" not in search_progress(run).caption
    assert loss_over_cost(some, run.results).svg


def test_bands_only_where_there_are_generations(run: RunRecords) -> None:
    """One generation has no bands, and the caption mentions none."""
    several = [dataclasses.replace(candidate, generation=place // 6) for place, candidate in enumerate(run.candidates)]
    single = [dataclasses.replace(candidate, generation=0) for candidate in run.candidates]
    assert "Bands" in search_progress(dataclasses.replace(run, candidates=tuple(several))).caption
    assert "Bands" not in search_progress(dataclasses.replace(run, candidates=tuple(single))).caption


def test_every_model_is_named_and_hovered(run: RunRecords) -> None:
    """Each retrained model and baseline has a label and says its log loss."""
    svg = loss_over_cost(run, run.results).svg
    for model in run.results.models:
        assert f">{model.title}</text>" in svg
        assert f"{model.title}: test log loss {model.test.log_loss:.5f}" in svg


@pytest.mark.parametrize("oracle", [0.4519, 0.1])
def test_best_possible_is_drawn_or_said_to_lie_below(run: RunRecords, oracle: float) -> None:
    """The best possible log loss is a line near the models, and a note where it is far below."""
    svg = loss_over_cost(run, dataclasses.replace(run.results, oracle_test_log_loss=oracle)).svg
    assert (f"best possible {oracle:.4f}<" in svg) == (oracle > 0.4)
    assert (f"best possible: {oracle:.4f}, below the frame" in svg) == (oracle < 0.4)


def test_ranking_says_its_correlation(run: RunRecords) -> None:
    """The caption has the rank agreement of exactly the models with a score."""
    models = scored_models(run.results)
    expected = rank_agreement([model.supernet_score for model in models], [model.test.log_loss for model in models])
    assert score_against_retrained(run.results).caption.endswith(expected)


def test_training_curves_name_every_stage(run: RunRecords) -> None:
    """Each retrained model is in the legend by its title, the supernet by its panel."""
    svg = training_curves(run).svg
    assert ">supernet</text>" in svg
    assert all(f">{model.title}</text>" in svg for model in run.results.models)


def test_given_architectures_have_a_look_of_their_own(run: RunRecords) -> None:
    """An architecture given as a file is neither blue nor orange, and the caption says what its colour means."""
    winner = run.results.best_model
    given = dataclasses.replace(winner, kind="given", title="Mine", supernet_score=None)
    picture = loss_over_cost(run, dataclasses.replace(run.results, models=(*run.results.models, given)))
    assert "Purple: architectures given as files." in picture.caption
    assert 'id="cost-model-given-winner_1"' in picture.svg and 'id="cost-model-winner-winner_1"' in picture.svg
    assert "Purple" not in loss_over_cost(run, run.results).caption
