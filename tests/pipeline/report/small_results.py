"""Results made up from a few log losses: what the tests of sentences, cards and tables compare."""

from modules.operators import InputShape
from modules.space.handmade import handmade
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import Comparison, Metrics, ModelKind, ModelResult, Results, SplitMetrics


def small_model(name: str, kind: ModelKind, *losses: float, auc: float | None = 0.8) -> ModelResult:
    """A model with these test log losses, one a seed; its validation log losses are .001 less."""
    seeds = tuple(
        SplitMetrics(Metrics(loss - 0.001, auc, 0.8, 1.0, 500), Metrics(loss, auc, 0.8, 1.0, 1000)) for loss in losses
    )
    mean = sum(losses) / len(losses)
    average = SplitMetrics(Metrics(mean - 0.003, auc, 0.8, 1.0, 500), Metrics(mean - 0.002, auc, 0.8, 1.0, 1000))
    return ModelResult(
        name=name,
        kind=kind,
        title=name.title(),
        origin="origin",
        architecture=handmade("dlrm", InputShape(2, 3, 8)),
        recipe=Recipe(embedding_width=8),
        supernet_score=None,
        multiply_accumulates=2_000_000,
        parameters=500_000,
        table_bytes=16_600_000,
        lookup_bytes=1664,
        trials=34,
        rows=5_440_000,
        seeds=seeds,
        ensemble=average if len(losses) > 1 else seeds[0],
    )


def small_results(
    best: ModelResult, *others: tuple[ModelResult, float], oracle: float | None = None, test_rows: int = 1000
) -> Results:
    """Results with `best` as the best model; each other one with half the width of its difference's interval."""
    comparisons = []
    for other, half in others:
        difference = best.test.log_loss - other.test.log_loss
        comparisons.append(Comparison(other.name, other.kind, difference, difference - half, difference + half))
    models = (best, *(other for other, _ in others))
    return Results(models, best.title, tuple(comparisons), oracle, 10_000, test_rows, 0.25)
