"""Search the best winner's ReRAM mapping: python -m pipeline.codesign [named run] [--run NAME] [--field value ...]

The quality of a mapping is the log loss, measured on validation rows, of the retrained winner with quantized weights
and activations. Ranks look the rows up together; rank 0 searches. Writes codesign.json.
"""

import sys
from collections.abc import Iterator, MutableMapping
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from modules.space import Architecture
from pim_codesign import (
    Bits,
    CodesignConfig,
    Workload,
    calibrate,
    naive_point,
    quantize,
    search,
    workload_of_baseline,
    workload_of_subnet,
)
from pipeline.retrain import best_model, read_results
from pipeline.run.files import read_json, write_json
from pipeline.session import Session, run_program
from pipeline.training.frozen_rows import FrozenRows, look_up
from pipeline.training.standalone import build, train_standalone

CALIBRATION_ROWS = 4096
"""Training rows on which the activations' ranges are measured."""


def codesign(session: Session) -> dict[str, Any]:
    """Search the mapping of the best model and write codesign.json; done before: only reads it."""
    run, processes = session.run, session.processes
    if not processes.on_first(run.codesign.exists):
        results = processes.on_first(lambda: read_results(run))
        winner = _Measured(session, best_model(results))
        baselines = [_Measured(session, entry) for entry in results["models"] if entry["kind"] == "baseline"]
        processes.on_first(lambda: write_json(run.codesign, _search(session, winner, baselines)))
    found: dict[str, Any] = processes.on_first(lambda: read_json(run.codesign))
    for line in summary(found):
        session.say(line)
    return found


class _Measured:
    """A retrained model, the chip's view of it, and its log loss at any choice of bits."""

    def __init__(self, session: Session, entry: dict[str, Any]) -> None:
        architecture = Architecture.from_json(entry["architecture"]) if entry["architecture"] else None
        self.entry, self.network = entry, build(session, entry["name"], architecture).network
        trained = train_standalone(session, self.network, entry["name"])
        dataset, processes, tables = session.dataset, session.processes, trained.trainee.embeddings
        rows = session.config.scoring.valid_rows
        self.rows = look_up(tables, dataset, "valid", rows, processes)
        calibration = look_up(tables, dataset, "train", CALIBRATION_ROWS, processes, session.config.seed)
        self.calibration = calibrate(self.network, calibration.dense, calibration.embedded)
        self.workload = self._workload(session, architecture)

    def _workload(self, session: Session, architecture: Architecture | None) -> Workload:
        table_rows = sum(session.dataset.schema.table_sizes)
        if architecture is not None:
            return workload_of_subnet(architecture, session.shape, table_rows, session.config.retrain.layer_norm)
        return workload_of_baseline(self.network, session.shape, table_rows)

    def float_log_loss(self) -> float:
        return _log_loss(self.network, self.rows)

    def log_loss(self, bits: Bits) -> float:
        return _log_loss(quantize(self.network, bits, self.calibration), self.rows)

    def naive_log_loss(self) -> float:
        return self.log_loss(dict.fromkeys(self.workload.operators, (8, 8)))


def _search(session: Session, winner: _Measured, baselines: list[_Measured]) -> dict[str, Any]:
    config = session.config.codesign
    measured = _Measurements(session, config)
    result = search(winner.workload, winner.log_loss, config, session.numpy_generator("codesign"), measured)
    measured.progress.close()
    points = [
        naive_point(model.workload, config.hardware, model.naive_log_loss(), f"{model.entry['title']}, naive W8A8")
        for model in baselines
    ]
    return {
        "model": winner.entry["name"],
        "quality_rows": len(winner.rows.label),
        "float_log_loss": winner.float_log_loss(),
        **result.to_json(),
        "baselines": [
            {"name": model.entry["name"], "title": model.entry["title"], "point": point.to_json()}
            for model, point in zip(baselines, points, strict=True)
        ],
    }


class _Measurements(MutableMapping[str, float]):
    """Measured log losses by bits, on disk as soon as measured: a stopped search replays them."""

    def __init__(self, session: Session, config: CodesignConfig) -> None:
        self.path = session.run.codesign_measurements
        self.found: dict[str, float] = read_json(self.path) if self.path.exists() else {}
        self.progress = tqdm(total=config.log_loss_measurements, initial=len(self.found), desc="codesign", unit="map")

    def __getitem__(self, key: str) -> float:
        return self.found[key]

    def __setitem__(self, key: str, value: float) -> None:
        self.found[key] = value
        write_json(self.path, self.found)
        self.progress.update()

    def __delitem__(self, key: str) -> None:
        raise AssertionError("a measurement is never taken back")

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


@torch.no_grad()
def _log_loss(network: nn.Module, rows: FrozenRows) -> float:
    logit = torch.cat([network(chunk.dense, chunk.embedded) for chunk in rows.chunks()])
    return float(binary_cross_entropy_with_logits(logit.double(), rows.label.double()))


def summary(found: dict[str, Any]) -> list[str]:
    """The naive mapping, and the best mappings beside it, as lines for the terminal."""
    naive = found["naive"]
    most = naive["log_loss"] + 1e-3
    good = [point for point in found["pareto"] if point["log_loss"] <= most] or found["pareto"]
    chosen = [("naive W8A8", naive)] + [
        (f"least {what}", min(good, key=lambda point: point[field]))
        for what, field in (("energy", "energy_nj"), ("latency", "latency_us"), ("area", "area_mm2"))
    ]
    return [
        f"codesign   {label:<14} log loss {point['log_loss']:.4f}  {point['latency_us']:8.2f} µs"
        f"  {point['energy_nj']:9.1f} nJ  {point['area_mm2']:7.2f} mm²"
        for label, point in chosen
    ]


if __name__ == "__main__":
    sys.exit(run_program(codesign, "pipeline.codesign"))
