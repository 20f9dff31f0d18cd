"""What a run's files hold, as values: the report's pictures, tables and sentences are made from these."""

from dataclasses import dataclass
from typing import Any

from modules.space import Architecture, InputShape


@dataclass(frozen=True)
class Quality:
    """One model's metrics on one split; None where only one label occurs there."""

    log_loss: float
    auc: float | None
    normalized_entropy: float | None
    calibration: float | None
    rows: int


@dataclass(frozen=True)
class Model:
    """A retrained winner or a baseline."""

    name: str
    kind: str
    title: str
    architecture: Architecture | None
    supernet_score: float | None
    multiply_accumulates: int
    parameters: int
    valid: Quality
    test: Quality


@dataclass(frozen=True)
class Results:
    """results.json."""

    models: tuple[Model, ...]
    best: Model
    oracle_test_log_loss: float | None
    train_rows: int
    test_rows: int
    label_ratio: float


@dataclass(frozen=True)
class Candidate:
    """A line of candidates.jsonl; `score` is the supernet's validation log loss."""

    index: int
    generation: int
    architecture: Architecture
    score: float
    multiply_accumulates: int
    parameters: int


@dataclass(frozen=True)
class Winners:
    """winners.json, best first."""

    space: str
    strategy: str
    supernet_valid_log_loss: float | None
    winners: tuple[Candidate, ...]


@dataclass(frozen=True)
class OperatorMapping:
    """Bits and replication of one operator on the chip."""

    name: str
    weight_bits: int
    activation_bits: int
    dup: int


@dataclass(frozen=True)
class Point:
    """A model mapped on a ReRAM chip."""

    label: str
    log_loss: float | None
    latency_us: float
    throughput_per_s: float
    energy_nj: float
    area_mm2: float
    embedding_area_mm2: float
    power_w: float
    utilization: float
    hardware: dict[str, Any]
    operators: tuple[OperatorMapping, ...]
    energy_breakdown_nj: dict[str, float]


@dataclass(frozen=True)
class Codesign:
    """codesign.json; `baselines` and `presets` are (title, point)."""

    model: str
    preset: str
    quality_rows: int | None
    float_log_loss: float | None
    pareto: tuple[Point, ...]
    evaluated: tuple[Point, ...]
    naive: Point
    baselines: tuple[tuple[str, Point], ...]
    presets: tuple[tuple[str, Point], ...]


@dataclass(frozen=True)
class TrainingStep:
    """A line of metrics.jsonl."""

    stage: str
    rows: int
    train_log_loss: float | None
    valid_log_loss: float | None


@dataclass(frozen=True)
class Run:
    """Everything the report reads of a run; None or empty where the file is absent."""

    name: str
    config: dict[str, Any]
    steps: tuple[TrainingStep, ...]
    timings: dict[str, dict[str, float]]
    candidates: tuple[Candidate, ...]
    winners: Winners | None
    results: Results | None
    codesign: Codesign | None
    model_card: dict[str, Any]
    shape: InputShape | None
    missing: tuple[str, ...]
    """Names of the files that are absent."""
