"""The co-design as a stage: log losses measured on the best model and read back after a stop."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.space import NASREC_SMALL
from pim_codesign import PRESETS, evaluate
from pipeline.codesign import MeasuredModel, Measurements, codesign, summary
from pipeline.run.processes import cpu_threads, join
from pipeline.run.records.codec import read_record, write_record
from pipeline.run.records.codesign import Codesign, LogLosses
from pipeline.run.records.results import ModelKind, ModelResult, Results
from pipeline.session import Session, open_session, run_stages
from pipeline.training.frozen_rows import load_frozen_rows
from pipeline.training.standalone import rebuild, train_standalone

TinyRun = Any


@pytest.fixture
def session(copied: TinyRun) -> Iterator[Session]:
    """An open session on a copy of the finished run."""
    with join("cpu") as processes, open_session(copied.config, processes) as opened:
        yield opened


def results(session: Session) -> Results:
    """What was trained: a searched model and a hand-made one."""
    return session.read(session.folder.results, Results)


def found(session: Session) -> Codesign:
    """What the co-design wrote."""
    return session.read(session.folder.codesign, Codesign)


def float_log_loss(session: Session, model: ModelResult) -> float:
    """The log loss of a model's best seed on the rows that codesign.log_loss_rows asks for."""
    contender = rebuild(session, model, model.best_seed)
    tables = train_standalone(contender).trainee.embeddings
    seed = session.config.seed
    rows = load_frozen_rows(tables, session.dataset, "valid", 100, session.processes, seed, mixed=True)
    with torch.no_grad():
        logit = contender.network(rows.dense, rows.embedded).double()
    return float(binary_cross_entropy_with_logits(logit, rows.label.double()))


def test_float_log_loss_is_the_models(session: Session) -> None:
    """The log loss before quantization is that of the best model's best seed."""
    best = results(session).best_model
    assert found(session).float_log_loss == pytest.approx(float_log_loss(session, best), rel=1e-7)
    assert (found(session).model, found(session).quality_rows) == (best.name, 100)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["searched", "handmade"])
def test_the_best_is_mapped_whatever_its_kind(session: Session, kind: ModelKind) -> None:
    """Its workload has its own embedding width; the hand-made models that are not the best are mapped beside it, by
    the same search, with log losses that are measured."""
    own = results(session)
    (best,) = own.of_kind(kind)
    session.write(session.folder.results, dataclasses.replace(own, best=best.title))
    for path in (session.folder.codesign, session.folder.codesign_measurements):
        path.unlink()
    written = codesign(session)
    assert written.float_log_loss == pytest.approx(float_log_loss(session, best), rel=1e-7)
    others = [model for model in own.of_kind("handmade") if model != best]
    assert [(one.name, one.title) for one in written.handmade] == [(model.name, model.title) for model in others]
    for entry, model in zip(written.handmade, others, strict=True):
        mapped = MeasuredModel(session, model)
        assert entry.pareto and entry.chosen in entry.pareto
        for point in entry.pareto:
            bits = {one.name: (one.weight_bits, one.activation_bits) for one in point.operators}
            assert mapped.log_loss(bits) == point.log_loss
    workload = MeasuredModel(session, best).workload
    assert workload.embeddings.width == best.recipe.embedding_width
    assert workload.multiply_accumulates == best.multiply_accumulates
    assert tuple(operator.name for operator in written.naive.operators) == workload.operators


@pytest.mark.slow
def test_threads_do_not_matter(session: Session) -> None:
    """codesign.json is the same bytes whatever number of threads a process has: ranks of one machine share its cores,
    so that a process has others on another number of ranks."""
    written = []
    for count in (1, 3):
        for path in (session.folder.codesign, session.folder.codesign_measurements):
            path.unlink()
        with cpu_threads(count):
            codesign(session)
        written.append(session.folder.codesign.read_bytes())
    assert written[0] == written[1]


@pytest.mark.slow
def test_measured_points_are_measured(session: Session) -> None:
    """The log loss of the naive mapping, of each reported point and of the other hand-made models is that of the
    network quantized with the point's bits."""
    written, models = found(session), results(session)
    best = MeasuredModel(session, models.best_model)
    for point in (written.naive, *written.pareto):
        bits = {one.name: (one.weight_bits, one.activation_bits) for one in point.operators}
        assert best.log_loss(bits) == point.log_loss
    for entry in written.handmade:
        (model,) = (model for model in models.of_kind("handmade") if model.name == entry.name)
        assert entry.point.log_loss == MeasuredModel(session, model).naive_log_loss()
        assert {operator.weight_bits for operator in entry.point.operators} == {8}
    assert {operator.weight_bits for operator in written.naive.operators} == {8}


def test_the_naive_cost_is_the_models(session: Session) -> None:
    """The naive mapping's figures are the cost model's for the model's workload on the preset's chip."""
    cost = evaluate(MeasuredModel(session, results(session).best_model).workload, PRESETS["isaac32"])
    for field in ("latency_us", "energy_nj", "area_mm2"):
        assert getattr(found(session).naive, field) == pytest.approx(getattr(cost, field))


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, 2, 5])
def test_resumes_from_its_measurements(copied: TinyRun, kept: int) -> None:
    """With none, some or all measurements on disk, the search ends with the same file."""
    expected, measured = copied.path / "codesign.json", copied.path / "codesign_measurements.json"
    before, written = expected.read_bytes(), measured.read_bytes()
    log = read_record(measured, LogLosses).by_bits
    assert len(log) == 5
    expected.unlink()
    write_record(measured, LogLosses(dict(list(log.items())[:kept])))
    assert copied.program(codesign) == 0
    assert expected.read_bytes() == before
    assert measured.read_bytes() == written


def test_a_measurement_is_on_disk_when_made(session: Session) -> None:
    """Each is written before the search gets it, and a new log reads them all."""
    session.folder.codesign_measurements.unlink()
    best = results(session).best_model
    log = Measurements(session, best, session.config.codesign)
    other = Measurements(session, dataclasses.replace(best, name="other"), session.config.codesign)
    for number, key in enumerate(("w8a8", "w4a6"), start=1):
        log[key] = 0.1 * number
        again = Measurements(session, best, session.config.codesign)
        assert dict(again) == dict(log) and len(again) == number
    with pytest.raises(AssertionError):
        del log["w8a8"]
    assert len(other) == 0 and "w8a8" not in other


def test_summary_shows_the_chosen_mapping(session: Session) -> None:
    """The naive mapping, the chosen one and the least in energy, latency and area, each with its own log loss."""
    written = found(session)
    lines = summary(written)
    assert [line.split()[1:3] for line in lines] == [
        ["naive", "W8A8"], ["chosen", "log"], ["least", "energy"], ["least", "latency"], ["least", "area"]
    ]  # fmt: skip
    assert f"{written.chosen.log_loss:.4f}" in lines[1] and f"{written.chosen.energy_nj:.1f} nJ" in lines[1]


@pytest.mark.slow
def test_limits_of_a_finished_search_are_not_exchanged(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """With others the run is refused, saying what to do; then it is searched with the new ones and keeps to them."""
    own = copied.config.codesign
    naive = json.loads((copied.path / "codesign.json").read_text())["naive"]
    limit = 1.2 * naive["area_mm2"]
    config = dataclasses.replace(copied.config, codesign=dataclasses.replace(own, max_area_mm2=limit))
    assert run_stages(codesign, "codesign", config) == 1
    assert "was searched with the limits none, and {'max_area_mm2'" in capfd.readouterr().err
    (copied.path / "codesign.json").unlink()
    assert run_stages(codesign, "codesign", config) == 0
    written = read_record(copied.path / "codesign.json", Codesign)
    assert written.limits == {"max_area_mm2": limit}
    assert written.pareto and all(point.area_mm2 <= limit for point in written.pareto)


@pytest.mark.slow
def test_an_impossible_limit_ends_the_stage(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """In one line, with the setting's name; nothing is written, and hand-made models are no reason to stop."""
    (copied.path / "codesign.json").unlink()
    results = read_record(copied.path / "results.json", Results, NASREC_SMALL)
    (searched,) = results.of_kind("searched")
    write_record(copied.path / "results.json", dataclasses.replace(results, best=searched.title))
    own = dataclasses.replace(copied.config.codesign, max_area_mm2=1e-6)
    assert run_stages(codesign, "codesign", dataclasses.replace(copied.config, codesign=own)) == 1
    found = capfd.readouterr()
    assert "codesign.max_area_mm2 is 1e-06, the least found is" in found.err and "raise a limit" in found.err
    assert "codesign.max_area_mm2 is 1e-06" in found.out  # the hand-made model's
    assert not (copied.path / "codesign.json").exists()
