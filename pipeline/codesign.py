"""Search the best model's ReRAM mapping: python -m pipeline.codesign [named run] [--run NAME] [--field value ...]

The quality of a mapping is the log loss, measured on validation rows, of the trained model with quantized weights and
activations. All ranks take part in the embedding lookups; then rank 0 searches. Writes codesign.json.
"""

import sys

from pipeline.command_line import run_program

if __name__ == "__main__":  # first: the command line is read before the imports below, which take seconds
    sys.exit(run_program("pipeline.codesign:codesign", "pipeline.codesign"))

import contextlib
from collections.abc import Iterator, MutableMapping

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pim_codesign import (
    Bits,
    CodesignConfig,
    CodesignResult,
    Point,
    bits_of_subnet,
    calibrate,
    naive_point,
    quantize,
    workload_of_subnet,
)
from pim_codesign.search.search import NothingWithinLimits, search
from pipeline.run.processes import cpu_threads
from pipeline.run.progress_bar import progress_bar
from pipeline.run.records.codec import read_record, write_record
from pipeline.run.records.codesign import (
    Codesign,
    HandmadePoint,
    LogLosses,
    MappedPoint,
    OperatorBits,
    PresetPoint,
)
from pipeline.run.records.results import ModelResult, Results
from pipeline.session import Session
from pipeline.training.evaluating import evaluating
from pipeline.training.frozen_rows import FrozenRows, load_frozen_rows
from pipeline.training.standalone import rebuild, train_standalone

CALIBRATION_ROWS = 4096
"""Training rows on which the activations' ranges are measured."""


def codesign(session: Session) -> Codesign:
    """Search the mapping of the best model and write codesign.json; if that is done, only read it."""
    path = session.folder.codesign
    if not session.exists(path):
        results = session.read(session.folder.results, Results)
        with cpu_threads(1):  # a sum's last bits depend on the threads that share it, and those on the ranks of a node
            session.write(path, _mapped(session, results))
    found = session.read(path, Codesign)
    wanted = session.config.codesign.cost_limits
    if found.limits != wanted:
        raise ValueError(
            f"{path} was searched with the limits {found.limits or 'none'}, and {wanted or 'none'} are asked for now; "
            "remove it to search again, or give those it has"
        )
    for line in summary(found):
        session.say(line)
    return found


def _mapped(session: Session, results: Results) -> Codesign:
    """The hand-made models' searches, then the best model's, on rank 0; the same on any number of ranks."""
    best = results.best_model
    others = [model for model in results.of_kind("handmade") if model is not best]
    handmade = tuple(_mapped_handmade(session, model) for model in others)
    measured = MeasuredModel(session, best)
    return session.processes.on_first(lambda: _search(session, measured, handmade))


class MeasuredModel:
    """A trained model (its best seed), the chip's view of it, and its log loss at any choice of bits."""

    def __init__(self, session: Session, model: ModelResult) -> None:
        contender = rebuild(session, model, model.best_seed)
        self.model, self.network = model, contender.network
        tables = train_standalone(contender).trainee.embeddings
        dataset, processes, config = session.dataset, session.processes, session.config
        rows, seed = config.codesign.log_loss_rows, config.seed
        self.rows = load_frozen_rows(tables, dataset, "valid", rows, processes, seed, mixed=True)
        calibration = load_frozen_rows(tables, dataset, "train", CALIBRATION_ROWS, processes, seed)
        self.calibration = calibrate(self.network, calibration.dense, calibration.embedded)
        sizes, layer_norm = dataset.schema.table_sizes, config.retrain.layer_norm
        self.trained = (
            None if model.architecture.is_float else bits_of_subnet(model.architecture, contender.session.shape)
        )
        self.workload = workload_of_subnet(model.architecture, contender.session.shape, sizes, layer_norm)

    def float_log_loss(self) -> float:
        """As it was trained: in floating point, where it has no bits; nats per row."""
        return _log_loss(self.network, self.rows)

    def log_loss(self, bits: Bits) -> float:
        """With quantized weights and activations, nats per row."""
        return _log_loss(quantize(self.network, bits, self.calibration), self.rows)

    def naive_log_loss(self) -> float:
        """With 8 bits everywhere, nats per row."""
        return self.log_loss(dict.fromkeys(self.workload.operators, (8, 8)))


def _mapped_handmade(session: Session, model: ModelResult) -> HandmadePoint:
    """A hand-made model at W8A8, and by the search; only one model is held in memory at a time."""
    measured = MeasuredModel(session, model)
    return session.processes.on_first(lambda: _search_handmade(session, measured))


def _search_handmade(session: Session, own: MeasuredModel) -> HandmadePoint:
    model, config = own.model, session.config.codesign
    try:
        pareto = tuple(map(mapped, _found(session, own).pareto))
    except NothingWithinLimits as error:
        session.say(f"codesign   {model.title}: {error}")
        pareto = ()
    naive = naive_point(own.workload, config.hardware, own.naive_log_loss(), f"{model.title}, naive W8A8")
    return HandmadePoint(model.name, model.title, mapped(naive), pareto)


def _found(session: Session, own: MeasuredModel) -> CodesignResult:
    """The search for a model's mapping; what an earlier start has measured is not measured again."""
    config = session.config.codesign
    measurements = Measurements(session, own.model, config)
    generator = session.numpy_generator("codesign")
    with contextlib.closing(measurements.progress):
        return search(own.workload, own.log_loss, config, generator, measurements, own.trained)


def _search(session: Session, best: MeasuredModel, handmade: tuple[HandmadePoint, ...]) -> Codesign:
    result, config = _found(session, best), session.config.codesign
    return Codesign(
        model=best.model.name,
        quality_rows=len(best.rows.label),
        float_log_loss=best.float_log_loss(),
        preset=result.preset,
        limits=config.cost_limits,
        measurements=result.measurements,
        pareto=tuple(map(mapped, result.pareto)),
        evaluated=tuple(map(mapped, result.evaluated)),
        naive=mapped(result.naive),
        presets=tuple(PresetPoint(point.hardware.preset, mapped(point)) for point in result.presets),
        handmade=handmade,
    )


def mapped(point: Point) -> MappedPoint:
    """The record of a point that the search found."""
    cost = point.cost
    return MappedPoint(
        label=point.label,
        log_loss=point.log_loss,
        latency_us=cost.latency_us,
        throughput_per_s=cost.throughput_per_s,
        energy_nj=cost.energy_nj,
        area_mm2=cost.area_mm2,
        embedding_area_mm2=cost.embedding_area_mm2,
        power_w=cost.power_w,
        utilization=cost.utilization,
        arrays=cost.arrays,
        hardware=dict(point.hardware.to_json()),
        operators=tuple(
            OperatorBits(name, one.weight_bits, one.activation_bits, one.dup)
            for name, one in zip(point.operators, point.mapping.operators, strict=True)
        ),
        energy_breakdown_nj=dict(cost.energy_breakdown_nj),
        area_breakdown_mm2=dict(cost.area_breakdown_mm2),
    )


class Measurements(MutableMapping[str, float]):
    """A model's measured log losses by bits, each written to the disk once measured: a resumed search reads them."""

    def __init__(self, session: Session, model: ModelResult, config: CodesignConfig) -> None:
        self.path, self.prefix = session.folder.codesign_measurements, f"{model.kind}/{model.name} "
        self.everything = read_record(self.path, LogLosses).by_bits if self.path.exists() else {}
        self.progress = progress_bar(
            total=config.log_loss_measurements, initial=len(self), desc=f"codesign {model.title}", unit="map"
        )

    def __getitem__(self, key: str) -> float:
        return self.everything[self.prefix + key]

    def __setitem__(self, key: str, value: float) -> None:
        self.everything[self.prefix + key] = value
        write_record(self.path, LogLosses(self.everything))
        self.progress.update()

    def __delitem__(self, key: str) -> None:
        raise AssertionError("a measurement is never removed")

    def __iter__(self) -> Iterator[str]:
        return (key.removeprefix(self.prefix) for key in self.everything if key.startswith(self.prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@torch.no_grad()
def _log_loss(network: nn.Module, rows: FrozenRows) -> float:
    with evaluating(network):
        logit = torch.cat([network(chunk.dense, chunk.embedded) for chunk in rows.chunks()])
    return float(binary_cross_entropy_with_logits(logit.double(), rows.label.double(), rows.factor))


def summary(found: Codesign) -> list[str]:
    """The naive mapping, the chosen one, and the cheapest acceptable ones, as lines for the terminal."""
    shown = (
        ("naive W8A8", found.naive),
        ("chosen", found.chosen),
        ("least energy", found.least(lambda point: point.energy_nj)),
        ("least latency", found.least(lambda point: point.latency_us)),
        ("least area", found.least(lambda point: point.area_mm2)),
    )
    return [
        f"codesign   {label:<14} log loss {point.log_loss:.4f}  {point.latency_us:8.2f} µs"
        f"  {point.energy_nj:9.1f} nJ  {point.area_mm2:7.2f} mm²"
        for label, point in shown
    ]
