"""Records of how a run went: lines of metrics.jsonl, timings.json, the supernet's result."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricsLine:
    """One line of metrics.jsonl."""

    stage: str
    """The training stage, for example `supernet` or `retrain/handmade/dlrm/seed_0`."""
    step: int
    """Training steps done."""
    rows: int
    """Rows trained on, all ranks together."""
    train_log_loss: float
    """Mean over the steps since the line before, nats per row."""
    learning_rate: float
    """Of the dense part at this step."""
    skipped_steps: int = 0
    """Steps so far whose rows were read and not learned from, as their loss was not finite or a spike."""


@dataclass(frozen=True)
class StageTiming:
    """Time and memory of a stage, summed over restarts."""

    wall_s: float
    """Wall-clock seconds."""
    cpu_s: float
    """CPU-seconds of rank 0."""
    peak_gb: float
    """Peak memory of rank 0, GB; it counts from the process's start, not the stage's."""


@dataclass(frozen=True)
class Timings:
    """timings.json."""

    stages: dict[str, StageTiming]
    """By stage, in the order in which they ran."""


@dataclass(frozen=True)
class SupernetResult:
    """checkpoints/supernet/result.json."""

    valid_log_loss: float
    """Mean validation log loss of the fixed random sub-networks, nats per row."""
