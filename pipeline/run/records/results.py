"""The records of retrained models: metrics on a split, results.json, and the kinds of models."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from modules.space import Architecture

ModelKind = Literal["winner", "baseline", "given"]
"""Found by this run's search; one of modules/baselines; or an architecture file that the user gave."""


def retrain_stage(kind: ModelKind, name: str) -> str:
    """The training stage of a model: its checkpoints' folder and its name in metrics.jsonl. Each kind has a folder of
    its own, so that a user's dlrm.json is not mistaken for the baseline.

    >>> retrain_stage("baseline", "dlrm"), retrain_stage("given", "dlrm")
    ('retrain/baseline/dlrm', 'retrain/given/dlrm')
    """
    return f"retrain/{kind}/{name}"


@dataclass(frozen=True)
class Metrics:
    """How well predictions fit labels. `None` where the labels leave the metric undefined."""

    log_loss: float
    """Mean negative log likelihood, nats per row, ≥ 0."""
    auc: float | None
    """Probability that a clicked row is ranked above an unclicked one, ties counting ½ (the Mann-Whitney statistic
    with mid-ranks); 0 to 1. None when only one of the two labels occurs."""
    normalized_entropy: float | None
    """Log loss over that of always predicting the mean label (He et al., ADKDD 2014, section 3); below 1 is better than
    knowing only the click rate. None when only one of the two labels occurs."""
    calibration: float | None
    """Mean prediction over mean label; 1 is unbiased. None without a clicked row."""
    rows: int
    """Rows evaluated, at least 1."""


@dataclass(frozen=True)
class SplitMetrics:
    """A trained model's metrics; the result.json that a standalone network's training stage leaves."""

    valid: Metrics
    """On the validation rows."""
    test: Metrics
    """On the test rows."""


@dataclass(frozen=True)
class ModelResult:
    """A retrained model: an entry of results.json."""

    name: str
    """Its name among the models of its kind."""
    kind: ModelKind
    """Where it comes from."""
    title: str
    """What tables and pictures call it."""
    architecture: Architecture | None
    """None for a baseline."""
    supernet_score: float | None
    """A winner's validation log loss on the supernet's weights, nats per row; None for the other kinds."""
    multiply_accumulates: int
    """Multiply-accumulates per row, embeddings not counted."""
    parameters: int
    """Parameters, embedding tables not counted."""
    valid: Metrics
    """On the validation rows."""
    test: Metrics
    """On the test rows."""

    @property
    def stage(self) -> str:
        """Its training stage in the run folder."""
        return retrain_stage(self.kind, self.name)


@dataclass(frozen=True)
class Results:
    """results.json: every retrained model."""

    HOW_TO_MAKE: ClassVar[str] = "retrain the winners first (python -m pipeline.retrain)"

    models: tuple[ModelResult, ...]
    """Winners, best score first, then given architectures, then baselines."""
    best: str
    """Name of the winner with the least validation log loss (test rows only judge)."""
    oracle_test_log_loss: float | None
    """Log loss of the planted model on the test rows; None where the data are not generated."""
    train_rows: int
    """Rows of the training split."""
    test_rows: int
    """Rows of the test split."""
    label_ratio: float
    """Share of clicks among the test rows, 0 to 1."""

    def __post_init__(self) -> None:
        stages = [model.stage for model in self.models]
        if len(set(stages)) < len(stages):
            raise ValueError(f"models: two have the same kind and name; found {stages}")
        winners = [model.name for model in self.models if model.kind == "winner"]
        if self.best not in winners:
            raise ValueError(f"field 'best': found {self.best!r}, which is none of the winners {winners}")

    @property
    def best_model(self) -> ModelResult:
        """The winner that `best` names."""
        return next(model for model in self.models if model.kind == "winner" and model.name == self.best)

    def of_kind(self, kind: ModelKind) -> tuple[ModelResult, ...]:
        """The models of one kind."""
        return tuple(model for model in self.models if model.kind == kind)
