"""The tables of models as values: order, spread and intervals, what is marked best; and the race's contenders."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from pipeline.report.model_tables import (
    SHOWN_CONTENDERS,
    all_contenders_table,
    contenders,
    contenders_table,
    costs_table,
    models_table,
)
from pipeline.report.run_records import read_run
from pipeline.run.records.race import Trial
from pipeline.run.records.results import Metrics, Results, SplitMetrics
from tests.pipeline.report.small_results import small_model


@pytest.fixture(scope="module")
def results(finished_run: Path) -> Results:
    """A complete run's models."""
    found = read_run(finished_run).results
    assert found is not None
    return found


@pytest.fixture(scope="module")
def trials(finished_run: Path) -> tuple[Trial, ...]:
    """A complete run's race."""
    return read_run(finished_run).trials


@pytest.mark.parametrize("make", [models_table, costs_table])
def test_models_are_in_the_order_of_their_test_log_loss(make: Callable, results: Results) -> None:
    """Whatever their order in the file, with their kind as a tag."""
    backwards = dataclasses.replace(results, models=results.models[::-1])
    table = make(backwards)
    assert table == make(results)
    expected = sorted(results.models, key=lambda model: model.test.log_loss)
    assert [(row.cells[0], row.kind) for row in table.rows] == [(model.title, model.kind) for model in expected]
    assert {row.tag for row in table.rows} == {"searched", "hand-made"}


def test_the_best_of_each_column_is_marked(results: Results) -> None:
    """Exactly the least log loss, highest AUC, calibration nearest 1, and smallest counts."""
    models = sorted(results.models, key=lambda model: model.test.log_loss)
    keys = {
        "test log loss": [model.test.log_loss for model in models],
        "seeds averaged": [model.ensemble.test.log_loss for model in models],
        "AUC": [-(model.test.auc or 0) for model in models],
        "calibration": [abs((model.test.calibration or 9) - 1) for model in models],
        "MMACs": [float(model.multiply_accumulates) for model in models],
        "tables MB": [float(model.table_bytes) for model in models],
    }
    quality, costs = models_table(results), costs_table(results)
    for head, values in keys.items():
        table = quality if head in quality.heads else costs
        column = table.heads.index(head)
        assert [column in row.best for row in table.rows] == [value == min(values) for value in values]
    assert not any({quality.heads.index("supernet score"), 0} & row.best for row in quality.rows)
    assert not any({costs.heads.index("trials"), 0} & row.best for row in costs.rows)


def test_spread_and_interval(results: Results) -> None:
    """Log loss is mean ± standard deviation over seeds; the difference is the comparison turned round."""
    table = models_table(results)
    by_title = {row.cells[0]: row.cells for row in table.rows}
    for model in results.models:
        cells = by_title[model.title]
        losses = [seed.test.log_loss for seed in model.seeds]
        assert cells[1] == f"{numpy.mean(losses):.5f} ± {numpy.std(losses, ddof=1):.5f}"
        comparison = results.comparison(model)
        if comparison is None:
            assert model is results.best_model and cells[3] == "the best"
        else:
            numbers = cells[3].replace("−", "-").replace("(", "").replace(")", "").replace(" to ", " ").split()
            expected = [-comparison.difference, -comparison.high, -comparison.low]
            assert [float(number) for number in numbers] == pytest.approx(expected, abs=0.5001e-4)


def test_a_single_model_is_the_best_of_nothing(results: Results) -> None:
    """With one model there is nothing to compare; undefined metrics and the spread of one seed are dashes."""
    none = Metrics(0.5, None, None, None, 10)
    only = dataclasses.replace(small_model("only", "searched", 0.5), seeds=(SplitMetrics(none, none),))
    (row,) = models_table(dataclasses.replace(results, models=(only,), best="Only", comparisons=())).rows
    assert row.best == frozenset()
    assert row.cells.count("–") == 5  # AUC, entropy, calibration, supernet score, averaged seeds
    assert row.cells[1] == "0.50000"


def test_recipes_are_in_words(results: Results) -> None:
    """The costs' table says each model's recipe, trials and rows."""
    by_title = {row.cells[0]: row.cells for row in costs_table(results).rows}
    for model in results.models:
        cells = by_title[model.title]
        assert cells[1] == model.recipe.in_words()
        assert cells[-3:] == (f"{model.lookup_bytes:,}", f"{model.trials}", f"{model.rows:,}")


def test_contenders_stand_by_their_best_whole_trial(trials: tuple[Trial, ...]) -> None:
    """Whole trials come first however good a screening is; failed contenders last; every trial belongs to one."""
    base = trials[0]
    made = [
        dataclasses.replace(base, contender="screened", row_share=0.25, valid_log_loss=0.1, rows=25),
        dataclasses.replace(base, contender="whole", row_share=0.25, valid_log_loss=0.2, rows=25),
        dataclasses.replace(base, contender="dead", valid_log_loss=None, failure="nan", rows=100),
        dataclasses.replace(base, contender="whole", valid_log_loss=0.4, rows=100),
        dataclasses.replace(base, contender="better", valid_log_loss=0.3, rows=100),
        dataclasses.replace(base, contender="better", valid_log_loss=None, failure="inf", rows=50),
        dataclasses.replace(base, contender="better", kind="given", valid_log_loss=0.35, rows=100),
    ]
    found = contenders(made)
    names = [(one.kind, one.name) for one in found]
    assert names == [
        ("handmade", "better"),
        ("given", "better"),
        ("handmade", "whole"),
        ("handmade", "screened"),
        ("handmade", "dead"),
    ]
    cells = {(row.kind, row.cells[0]): row.cells[2:] for row in contenders_table(made).rows}
    assert cells["handmade", "better"] == ("100 %", "0.30000", "2", "150", "1 of 2: inf")
    assert cells["handmade", "whole"] == ("100 %", "0.40000", "2", "125", "–")
    assert cells["handmade", "screened"] == ("25.0 %", "0.10000", "1", "25", "–")
    assert cells["handmade", "dead"] == ("–", "–", "1", "100", "1 of 1: nan")


def test_many_contenders_are_all_shown_on_request(trials: tuple[Trial, ...]) -> None:
    """The leading ones first; a folded table has all, and none where the first has room."""
    names = {(trial.kind, trial.contender) for trial in trials}
    first, everyone = contenders_table(trials), all_contenders_table(trials)
    assert len(first.rows) == SHOWN_CONTENDERS < len(names) == len(everyone.rows)
    assert everyone.rows[:SHOWN_CONTENDERS] == first.rows and everyone.folded
    assert sum(int(row.cells[4]) for row in everyone.rows) == len(trials)
    few = [trial for trial in trials if trial.kind == "handmade"]
    assert not all_contenders_table(few).rows and len(contenders_table(few).rows) == 3
