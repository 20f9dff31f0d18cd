"""The finalists trained to the end: results.json says what the trained networks do, and how they compare."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
import torch

from modules.space import multiply_accumulates, parameter_count
from modules.space.handmade import HANDMADE, TITLES
from pipeline.retrain import read_trained, retrain, summary, table_line, title, train_finalists
from pipeline.run.processes import cpu_threads, join
from pipeline.run.records.codec import to_plain
from pipeline.run.records.race import Finalist, RaceResult
from pipeline.run.records.results import Results, SplitMetrics, retrain_stage
from pipeline.session import Session, open_session
from pipeline.training.frozen_rows import load_frozen_rows
from pipeline.training.metrics import Evaluation
from pipeline.training.standalone import build, rebuild, train_standalone, with_recipe

TinyRun = Any


@pytest.fixture
def session(copied: TinyRun) -> Iterator[Session]:
    """An open session on a copy of the finished run."""
    with join("cpu") as processes, open_session(copied.config, processes) as opened:
        yield opened


def results(session: Session) -> Results:
    """What was trained to the end: a searched model and a hand-made one, two seeds each."""
    return session.read(session.folder.results, Results)


def finalists(session: Session) -> tuple[Finalist, ...]:
    """The race's finalists."""
    return session.read(session.folder.race, RaceResult).finalists


@pytest.mark.slow
def test_metrics_are_those_of_the_saved_networks(session: Session) -> None:
    """For every model and seed: the checkpoint's network on looked-up rows of each split gives the metrics in
    results.json, and the ensemble's are those of the mean of the seeds' logits."""
    models = results(session).models
    assert [model.kind for model in models] == ["searched", "handmade"]
    for model in models:
        for split in ("valid", "test"):
            logits = []
            for seed, metrics in enumerate(model.seeds):
                contender = rebuild(session, model, seed)
                tables = train_standalone(contender).trainee.embeddings
                rows = load_frozen_rows(tables, session.dataset, split, 10**9, session.processes)
                with torch.no_grad():
                    logits.append(contender.network.eval()(rows.dense, rows.embedded))
                found = to_plain(_metrics(logits[-1], rows.label))
                assert found == pytest.approx(to_plain(getattr(metrics, split)), rel=1e-6)
                assert found["rows"] == session.dataset.rows(split)
            mean = to_plain(_metrics(torch.stack(logits).mean(0), rows.label))
            assert mean == pytest.approx(to_plain(getattr(model.ensemble, split)), rel=1e-5)


def _metrics(logits: torch.Tensor, labels: torch.Tensor) -> Any:
    evaluation = Evaluation()
    evaluation.add(logits, labels)
    return evaluation.metrics()


def test_counts_are_those_of_the_networks(session: Session) -> None:
    """Parameters are the built network's own number; costs are the exact counts at the recipe's embedding width."""
    for model in results(session).models:
        shape = with_recipe(session, model.recipe).shape
        network = rebuild(session, model).network
        assert model.parameters == sum(parameter.numel() for parameter in network.parameters())
        assert model.parameters == parameter_count(model.architecture, shape)
        assert model.multiply_accumulates == multiply_accumulates(model.architecture, shape)
        assert model.table_bytes == 4 * sum(session.dataset.schema.table_sizes) * model.recipe.embedding_width
        assert model.lookup_bytes == 4 * session.dataset.schema.num_categories * model.recipe.embedding_width


def test_the_best_is_chosen_on_validation_rows(session: Session) -> None:
    """Of any kind, by the mean over seeds, whatever the test rows say; it is compared with every other one."""
    found = results(session)
    best = min(found.models, key=lambda model: sum(one.valid.log_loss for one in model.seeds))
    assert found.best_model == best
    for model in found.models:
        comparison = found.comparison(model)
        if model is best:
            assert comparison is None
            continue
        assert comparison is not None and comparison.low <= comparison.difference <= comparison.high
        assert comparison.difference == pytest.approx(best.test.log_loss - model.test.log_loss)
    assert found.best_handmade == found.of_kind("handmade")[0]


def test_a_hand_made_model_can_win(session: Session) -> None:
    """With its validation losses the smaller, the hand-made model is the best, and results.json says so."""
    searched, by_hand = finalists(session)
    for finalist, log_loss in ((searched, 0.9), (by_hand, 0.1)):
        for seed in (0, 1):
            path = session.folder.result(retrain_stage(finalist.kind, finalist.name, seed))
            metrics = session.read(path, SplitMetrics)
            valid = dataclasses.replace(metrics.valid, log_loss=log_loss)
            session.write(path, dataclasses.replace(metrics, valid=valid))
    found = summary(session, (searched, by_hand))
    assert found.best_model.kind == "handmade" and found.best == title(by_hand)


@pytest.mark.slow
def test_trained_again_only_where_missing(session: Session) -> None:
    """What is there is not trained again; a lost checkpoint is, and results.json comes out the same."""
    written = session.folder.results.read_bytes()
    session.folder.results.unlink()
    (finalist, *_) = finalists(session)
    lost = session.folder.checkpoints(f"retrain/{finalist.kind}/{finalist.name}/seed_1")
    kept = session.folder.checkpoints(f"retrain/{finalist.kind}/{finalist.name}/seed_0")
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
    for path in sorted(lost.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    retrain(session)
    assert session.folder.results.read_bytes() == written
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*")} == before


@pytest.mark.slow
def test_together_trains_as_apart(session: Session) -> None:
    """With race.trained together this process trains, and on one thread, as workers have, it finds what they found."""
    apart = results(session).models[0]
    (finalist, *_) = finalists(session)
    race = dataclasses.replace(session.config.race, trained="together")
    together = dataclasses.replace(session, config=dataclasses.replace(session.config, race=race))
    renamed = dataclasses.replace(finalist, kind="given")
    with cpu_threads(1):
        train_finalists(together, [renamed])
    for own, other in zip(read_trained(together, renamed).result.seeds, apart.seeds, strict=True):
        assert own.test.log_loss == pytest.approx(other.test.log_loss, rel=1e-12)


def test_seeds_differ(session: Session) -> None:
    """Built twice a contender is the same; another name or seed gives other weights."""
    (finalist, *_) = finalists(session)

    def weights(name: str, seed: int) -> torch.Tensor:
        made = build(session, "given", name, finalist.architecture, finalist.recipe, seed)
        return torch.cat([value.flatten() for value in made.network.parameters()])

    first = weights("one", 0)
    assert torch.equal(first, weights("one", 0))
    assert not torch.equal(first, weights("two", 0)) and not torch.equal(first, weights("one", 1))


def test_titles(session: Session) -> None:
    """Every hand-made model has a name as it is written; a searched one is called after its name."""
    assert set(TITLES) == set(HANDMADE)
    searched, by_hand = finalists(session)
    assert title(by_hand) == TITLES[by_hand.name] and title(searched) == searched.name.replace("_", " ").capitalize()


def test_a_line_without_auc(session: Session) -> None:
    """Where test rows have one label only there is no AUC, and the line has a dash."""
    model = results(session).best_model
    assert f"AUC {model.test.auc:.4f}" in table_line(model)
    seeds = tuple(dataclasses.replace(one, test=dataclasses.replace(one.test, auc=None)) for one in model.seeds)
    assert "AUC    –  " in table_line(dataclasses.replace(model, seeds=seeds))


def test_logits_are_float32(session: Session) -> None:
    """The files that the interval is made of hold one number a row, in float32."""
    (finalist, *_) = finalists(session)
    (logits, _) = read_trained(session, finalist).seeds
    assert logits.logits.dtype == numpy.float32 and len(logits.logits) == session.dataset.rows("test")
