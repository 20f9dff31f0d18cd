"""Retrained models: the kinds have folders of their own, and the best is a winner that exists."""

import dataclasses

import pytest

from pipeline.run.records.results import Metrics, ModelKind, ModelResult, Results

METRICS = Metrics(0.5, 0.7, 0.9, 1.0, 100)


def model(kind: ModelKind, name: str) -> ModelResult:
    """A model of this kind and name."""
    return ModelResult(name, kind, name, None, None, 1, 1, METRICS, METRICS)


def test_kinds_do_not_collide() -> None:
    """Models of one name and three kinds have three stages, and the best is the winner of that name."""
    models = tuple(model(kind, "winner_1") for kind in ("given", "winner", "baseline"))
    results = Results(models, "winner_1", None, 1, 1, 0.5)
    assert len({one.stage for one in models}) == 3
    assert results.best_model.kind == "winner"
    assert [one.kind for one in results.of_kind("given")] == ["given"]


def test_impossible_results() -> None:
    """A best model that is no winner, and two models of one kind and name, are ValueErrors."""
    with pytest.raises(ValueError, match=r"'best': found 'dlrm', which is none of the winners \['winner_1'\]"):
        Results((model("winner", "winner_1"), model("baseline", "dlrm")), "dlrm", None, 1, 1, 0.5)
    results = Results((model("winner", "winner_1"),), "winner_1", None, 1, 1, 0.5)
    with pytest.raises(ValueError, match="two have the same kind and name"):
        dataclasses.replace(results, models=results.models * 2)
