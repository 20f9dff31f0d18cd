"""The co-design as a stage: log losses measured on the retrained winner, replayed after a stop, best points told."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.space import Architecture
from pim_codesign import PRESETS, evaluate
from pipeline.codesign import _Measured, _Measurements, codesign, summary
from pipeline.retrain import read_results
from pipeline.run.files import read_json
from pipeline.run.processes import join
from pipeline.session import Session, open_session
from pipeline.training.frozen_rows import look_up
from pipeline.training.standalone import build, train_standalone

TinyRun = Any


@pytest.fixture
def session(copied: TinyRun) -> Iterator[Session]:
    """An open session on a copy of the finished run."""
    with join("cpu") as processes, open_session(copied.config, processes) as opened:
        yield opened


def test_float_log_loss_is_the_winners(session: Session) -> None:
    """The log loss before quantization is that of the retrained winner on the first scoring.valid_rows rows."""
    (entry, _) = read_results(session.run)["models"]
    network = build(session, "winner_1", Architecture.from_json(entry["architecture"])).network
    tables = train_standalone(session, network, "winner_1").trainee.embeddings
    rows = look_up(tables, session.dataset, "valid", 100, session.processes)
    with torch.no_grad():
        logit = network(rows.dense, rows.embedded).double()
    expected = float(binary_cross_entropy_with_logits(logit, rows.label.double()))
    found = read_json(session.run.codesign)
    assert found["float_log_loss"] == pytest.approx(expected, rel=1e-7)
    assert (found["model"], found["quality_rows"]) == ("winner_1", 100)


def test_measured_points_are_measured(session: Session) -> None:
    """The log loss of the naive mapping, of each reported point and of the baseline is that of the network quantized
    with the point's bits."""
    entries = read_results(session.run)["models"]
    found = read_json(session.run.codesign)
    winner, baseline = (_Measured(session, entry) for entry in entries)
    for point in (found["naive"], *found["pareto"]):
        bits = {one["name"]: (one["weight_bits"], one["activation_bits"]) for one in point["operators"]}
        assert winner.log_loss(bits) == point["log_loss"]
    (entry,) = found["baselines"]
    assert (entry["name"], entry["title"]) == ("deepfm", "DeepFM")
    assert entry["point"]["log_loss"] == baseline.naive_log_loss()
    assert {operator["weight_bits"] for operator in found["naive"]["operators"]} == {8}


def test_the_naive_cost_is_the_models(session: Session) -> None:
    """The naive mapping's figures are the cost model's for the winner's workload on the preset's chip."""
    (entry, _) = read_results(session.run)["models"]
    cost = evaluate(_Measured(session, entry).workload, PRESETS["isaac32"])
    naive = read_json(session.run.codesign)["naive"]
    for field in ("latency_us", "energy_nj", "area_mm2"):
        assert naive[field] == pytest.approx(getattr(cost, field))


@pytest.mark.parametrize("kept", [0, 2, 5])
def test_goes_on_from_its_measurements(copied: TinyRun, kept: int) -> None:
    """With none, some or all measurements on disk, the search ends with the same file."""
    expected, measured = copied.path / "codesign.json", copied.path / "codesign_measurements.json"
    before, log = expected.read_bytes(), json.loads(measured.read_text())
    assert len(log) == 5
    expected.unlink()
    measured.write_text(json.dumps(dict(list(log.items())[:kept])))
    assert copied.program(codesign) == 0
    assert expected.read_bytes() == before
    assert json.loads(measured.read_text()) == log


def test_a_measurement_is_on_disk_when_made(session: Session) -> None:
    """Each is written before the search hears of it, and a new log reads them all."""
    session.run.codesign_measurements.unlink()
    log = _Measurements(session, session.config.codesign)
    for number, key in enumerate(("w8a8", "w4a6"), start=1):
        log[key] = 0.1 * number
        again = _Measurements(session, session.config.codesign)
        assert dict(again) == dict(log) and len(again) == number
    with pytest.raises(AssertionError):
        del log["w8a8"]


def test_summary_names_the_least_of_the_good_points() -> None:
    """Of points within 0.001 of the naive log loss, the least in energy, latency and area; of all, if none is."""

    def point(log_loss: float, energy: float, latency: float, area: float) -> dict[str, float]:
        return {"log_loss": log_loss, "energy_nj": energy, "latency_us": latency, "area_mm2": area}

    naive = point(0.5, 9, 9, 9)
    good, quick, bad = point(0.5005, 2, 8, 3), point(0.4, 5, 1, 5), point(0.6, 0.1, 0.1, 0.1)
    lines = summary({"naive": naive, "pareto": [good, quick, bad]})
    assert [line.split()[1:3] for line in lines] == [
        ["naive", "W8A8"], ["least", "energy"], ["least", "latency"], ["least", "area"]
    ]  # fmt: skip
    assert "0.5005" in lines[1] and "0.4000" in lines[2] and "0.5005" in lines[3]
    assert "0.6000" in summary({"naive": naive, "pareto": [bad]})[1]
