"""Trained models: the kinds have folders of their own, seeds are averaged, and the best is a model that exists."""

import dataclasses
import statistics

import pytest

from modules.space import InputShape
from modules.space.handmade import handmade
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import Comparison, Metrics, ModelKind, ModelResult, Results, SplitMetrics

ARCHITECTURE = handmade("dlrm", InputShape(2, 3, 4))


def model(kind: ModelKind, name: str, *valid: float, auc: float | None = 0.7) -> ModelResult:
    """A model of this kind and name, with these validation log losses, one a seed; test ones are .1 higher."""
    seeds = tuple(
        SplitMetrics(Metrics(one, auc, None, None, 10), Metrics(one + 0.1, auc, None, None, 20))
        for one in valid or (0.5,)
    )
    counts = {"multiply_accumulates": 1, "parameters": 1, "table_bytes": 1, "lookup_bytes": 1, "trials": 1, "rows": 1}
    title = f"{kind} {name}"
    return ModelResult(name, kind, title, "", ARCHITECTURE, Recipe(), None, **counts, seeds=seeds, ensemble=seeds[0])


def results(best: str, *models: ModelResult, comparisons: tuple[Comparison, ...] = ()) -> Results:
    """What results.json holds of these models."""
    return Results(models, best, comparisons, None, 1, 1, 0.5)


def test_kinds_do_not_collide() -> None:
    """Models of one name and three kinds have stages of their own, a folder a seed, and the best is found by title."""
    models = tuple(model(kind, "dlrm", 0.5, 0.6) for kind in ("given", "searched", "handmade"))
    found = results("searched dlrm", *models)
    assert len({stage for one in models for stage in one.stages}) == 6
    assert models[2].stages == ("retrain/handmade/dlrm/seed_0", "retrain/handmade/dlrm/seed_1")
    assert found.best_model is models[1] and found.best_handmade is models[2]
    assert found.of_kind("given") == (models[0],)


def test_a_models_metrics_are_its_seeds_means() -> None:
    """Of each split and metric; a metric that a seed lacks has no mean."""
    own = model("searched", "a", 0.5, 0.3, 0.7)
    assert own.valid.log_loss == pytest.approx(statistics.mean((0.5, 0.3, 0.7))) and own.valid.rows == 10
    assert own.test.log_loss == pytest.approx(own.valid.log_loss + 0.1) and own.test.rows == 20
    assert own.test.auc == pytest.approx(0.7) and own.test.calibration is None
    assert model("searched", "a", auc=None).test.auc is None


@pytest.mark.parametrize(("valid", "seed"), [((0.5,), 0), ((0.5, 0.3, 0.4), 1), ((0.5, 0.3, 0.3), 1)])
def test_the_seed_that_stands_for_a_model(valid: tuple[float, ...], seed: int) -> None:
    """The one with the least validation log loss, of equal ones the first."""
    assert model("searched", "a", *valid).best_seed == seed


def test_the_best_handmade_model_is_chosen_by_the_mean() -> None:
    """Over seeds, on validation rows; without hand-made models there is none."""
    lucky, steady = model("handmade", "a", 0.1, 0.9), model("handmade", "b", 0.4, 0.4)
    assert results("handmade a", lucky, steady).best_handmade is steady
    assert results("searched a", model("searched", "a")).best_handmade is None


def test_comparisons_are_found_by_kind_and_name() -> None:
    """The best model has none with itself."""
    best, other = model("searched", "dlrm"), model("handmade", "dlrm")
    against = Comparison("dlrm", "handmade", -0.1, -0.2, 0.0)
    found = results(best.title, best, other, comparisons=(against,))
    assert found.comparison(other) is against and found.comparison(best) is None


def test_impossible_results() -> None:
    """A best model that is none of the models, two of one kind and name, and a model without seeds are ValueErrors."""
    own = model("searched", "net_1")
    with pytest.raises(ValueError, match=r"'best': found 'DLRM', which is not one of the models \['searched net_1'\]"):
        results("DLRM", own)
    with pytest.raises(ValueError, match="two have the same kind and name"):
        results(own.title, own, own)
    with pytest.raises(ValueError, match="model 'net_1': field 'seeds' is empty"):
        dataclasses.replace(own, seeds=())
