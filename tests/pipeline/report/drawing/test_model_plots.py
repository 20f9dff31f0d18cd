"""The pictures of models trained from scratch: every scored model, every curve, one colour a model."""

import dataclasses
import re
from pathlib import Path

import pytest

from pipeline.report.drawing.model_plots import score_against_retrained, scored_models, training_curves
from pipeline.report.run_records import RunRecords, read_run
from pipeline.report.words import rank_agreement
from pipeline.run.records.results import Results


@pytest.fixture(scope="module")
def run(finished_run: Path) -> RunRecords:
    """A complete run."""
    return read_run(finished_run)


@pytest.fixture(scope="module")
def results(run: RunRecords) -> Results:
    """Its models."""
    assert run.results is not None
    return run.results


def test_ranking_says_its_correlation(results: Results) -> None:
    """The caption has the rank agreement of exactly the models with a score."""
    models = scored_models(results)
    assert [model.kind for model in models] == ["searched"] * 5
    scores = [model.supernet_score for model in models if model.supernet_score is not None]
    expected = rank_agreement(scores, [model.test.log_loss for model in models])
    picture = score_against_retrained(results)
    assert picture.caption.endswith(expected)
    for model in models:
        assert f"<title>{model.title}: {model.supernet_score:.5f} → {model.test.log_loss:.5f}</title>" in picture.svg


def test_models_of_one_name_and_two_kinds_are_apart(results: Results) -> None:
    """A given architecture named like a searched one has its own mark and hover."""
    twin = dataclasses.replace(results.models[0], kind="given", title="Twin")
    svg = score_against_retrained(dataclasses.replace(results, models=(*results.models, twin))).svg
    assert 'id="ranking-scored-given-searched_1"' in svg and 'id="ranking-scored-searched-searched_1"' in svg


def test_the_legend_names_each_model_once(run: RunRecords, results: Results) -> None:
    """Three seeds a model, one entry each, in the order of results.json; the supernet is named by its panel."""
    picture = training_curves(run)
    assert ">supernet</text>" in picture.svg
    found = [text for text in re.findall(r">([^<]+)</text>", picture.svg) if text in {m.title for m in results.models}]
    assert found == [model.title for model in results.models]
    assert "its 3 seeds: solid, dashed, dotted." in picture.caption and "Not drawn" not in picture.caption


def test_curves_before_the_results(run: RunRecords) -> None:
    """While results.json is absent a model is called by its kind and name; one seed has no word about seeds."""
    first = tuple(line for line in run.metrics if line.stage in ("supernet", "retrain/searched/searched_1/seed_0"))
    picture = training_curves(dataclasses.replace(run, results=None, metrics=first))
    assert "seeds" not in picture.caption
    both = tuple(line for line in run.metrics if "/seed_0" in line.stage)
    svg = training_curves(dataclasses.replace(run, results=None, metrics=both)).svg
    assert ">searched/searched_1</text>" in svg and ">handmade/dlrm</text>" in svg and ">supernet</text>" not in svg


def test_trainings_that_are_not_drawn_are_counted(run: RunRecords) -> None:
    """Metrics of other stages than the supernet's and the last trainings' are said to be left out."""
    other = tuple(dataclasses.replace(line, stage="race/1") for line in run.metrics if line.stage == "supernet")
    assert "Not drawn: 1 training of other" in training_curves(dataclasses.replace(run, metrics=other)).caption
