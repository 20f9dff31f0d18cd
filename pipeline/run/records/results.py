"""The records of models that were trained to the end: metrics on a split, results.json, and the kinds of models."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from modules.space import Architecture
from pipeline.run.records.recipe import Recipe

ModelKind = Literal["searched", "handmade", "given"]
"""Found by this run's search; one of modules/space/handmade; or an architecture file that the user gave."""


def retrain_stage(kind: ModelKind, name: str, seed: int) -> str:
    """The training stage of a model with one seed: its checkpoints' folder and its name in metrics.jsonl. Each kind has
    a folder of its own, so that a user's dlrm.json is not mistaken for the hand-made model.

    >>> retrain_stage("handmade", "dlrm", 0), retrain_stage("given", "dlrm", 1)
    ('retrain/handmade/dlrm/seed_0', 'retrain/given/dlrm/seed_1')
    """
    return f"retrain/{kind}/{name}/seed_{seed}"


def finals_stage(trial: int) -> str:
    """The training stage of a race's trial whose weights are kept: it may become a finalist's first seed."""
    return f"{FINALS}/trial_{trial:05d}"


FINALS = "finals"
"""Where the stages of such trials stand among the checkpoints, while the race lasts."""


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
    """A model trained to the end with one or several seeds: an entry of results.json."""

    name: str
    """Its name among the models of its kind."""
    kind: ModelKind
    """Where it comes from."""
    title: str
    """What tables and pictures call it."""
    origin: str
    """How the race came to its architecture, in words."""
    architecture: Architecture
    """Its network."""
    recipe: Recipe
    """The recipe that the race found for it."""
    supernet_score: float | None
    """Validation log loss on the supernet's weights, nats per row, of architectures that the supernet proposed."""
    multiply_accumulates: int
    """Multiply-accumulates per row, embeddings not counted."""
    parameters: int
    """Parameters, embedding tables not counted."""
    table_bytes: int
    """Size of the embedding tables, bytes, in float32."""
    lookup_bytes: int
    """Bytes that a row reads of the tables, in float32."""
    trials: int
    """Trainings that the race spent on this architecture, before those counted in `seeds`."""
    rows: int
    """Rows trained on in those trainings."""
    seeds: tuple[SplitMetrics, ...]
    """Metrics of each seed's training, from seed 0; at least one."""
    ensemble: SplitMetrics
    """Metrics of the mean of the seeds' logits; with one seed its own."""

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ValueError(f"model {self.name!r}: field 'seeds' is empty; a trained model has at least one")

    @property
    def stages(self) -> tuple[str, ...]:
        """The training stages of its seeds in the run folder."""
        return tuple(retrain_stage(self.kind, self.name, seed) for seed in range(len(self.seeds)))

    @property
    def best_seed(self) -> int:
        """The seed with the least validation log loss, which stands for the model where one training must; of equal
        ones the first."""
        return min(range(len(self.seeds)), key=lambda seed: self.seeds[seed].valid.log_loss)

    @property
    def valid(self) -> Metrics:
        """The seeds' mean metrics on the validation rows."""
        return mean_metrics([one.valid for one in self.seeds])

    @property
    def test(self) -> Metrics:
        """The seeds' mean metrics on the test rows."""
        return mean_metrics([one.test for one in self.seeds])


def mean_metrics(metrics: list[Metrics]) -> Metrics:
    """The mean of each metric over trainings judged on the same rows."""

    def mean(name: str) -> float | None:
        values = [getattr(one, name) for one in metrics]
        return None if None in values else sum(values) / len(values)

    log_loss = mean("log_loss")
    assert log_loss is not None
    return Metrics(log_loss, mean("auc"), mean("normalized_entropy"), mean("calibration"), metrics[0].rows)


@dataclass(frozen=True)
class Comparison:
    """Two models' test log losses compared on the same rows."""

    name: str
    """Name of the other model."""
    kind: ModelKind
    """Its kind."""
    difference: float
    """Mean test log loss of the best model less the other's, nats per row; negative: the best model is better."""
    low: float
    """Lower end of the 95 % interval of the difference, over test rows and seeds."""
    high: float
    """Its upper end."""


@dataclass(frozen=True)
class Results:
    """results.json: every model that was trained to the end."""

    HOW_TO_MAKE: ClassVar[str] = "train the finalists first (python -m pipeline.retrain)"

    models: tuple[ModelResult, ...]
    """Searched models, best in the race first, then given architectures, then hand-made ones."""
    best: str
    """Title of the model with the least mean validation log loss, of any kind (test rows only judge)."""
    comparisons: tuple[Comparison, ...]
    """The best model against each of the others, in the order of `models`."""
    oracle_test_log_loss: float | None
    """Log loss of the planted model on the test rows; None where the data are not generated."""
    train_rows: int
    """Rows of the training split."""
    test_rows: int
    """Rows of the test split."""
    label_ratio: float
    """Share of clicks among the test rows, 0 to 1."""

    def __post_init__(self) -> None:
        keys = [(model.kind, model.name) for model in self.models]
        if len(set(keys)) < len(keys):
            raise ValueError(f"models: two have the same kind and name; found {keys}")
        titles = [model.title for model in self.models]
        if titles.count(self.best) != 1:
            raise ValueError(f"field 'best': found {self.best!r}, which is not one of the models {titles}")

    @property
    def best_model(self) -> ModelResult:
        """The model that `best` names."""
        return next(model for model in self.models if model.title == self.best)

    @property
    def best_handmade(self) -> ModelResult | None:
        """The hand-made model with the least mean validation log loss."""
        return min(self.of_kind("handmade"), key=lambda model: model.valid.log_loss, default=None)

    def of_kind(self, kind: ModelKind) -> tuple[ModelResult, ...]:
        """The models of one kind."""
        return tuple(model for model in self.models if model.kind == kind)

    def comparison(self, model: ModelResult) -> Comparison | None:
        """The best model's comparison with `model`; None for itself."""
        found = (one for one in self.comparisons if (one.kind, one.name) == (model.kind, model.name))
        return next(found, None)
