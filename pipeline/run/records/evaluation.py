"""The record of an exported model judged on a newer log: evaluation.json."""

from dataclasses import dataclass
from typing import ClassVar

from pipeline.run.records.model_card import ModelFile
from pipeline.run.records.results import Metrics


@dataclass(frozen=True)
class StandardErrors:
    """Standard errors of the metrics, the rows taken as drawn one by one. None where the metric is."""

    log_loss: float
    """Nats per row."""
    auc: float | None
    """After DeLong, DeLong and Clarke-Pearson (Biometrics 1988)."""
    normalized_entropy: float | None
    """By the delta method."""
    calibration: float | None
    """By the delta method."""


@dataclass(frozen=True)
class Difference:
    """A metric here against the one that model.json has of the export's test rows."""

    metric: str
    """Its name in `Metrics`."""
    here: float
    """On these rows."""
    export: float
    """On the export's test rows."""
    difference: float
    """`here` less `export`."""
    low: float
    """Lower end of its 95 % interval, in which the test rows spread as these do."""
    high: float
    """Upper end."""

    @property
    def is_chance(self) -> bool:
        """Whether the interval holds zero."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Judged:
    """Some rows judged."""

    metrics: Metrics
    """On these rows."""
    errors: StandardErrors
    """Of the metrics."""
    label_ratio: float
    """Share of clicks, 0 to 1."""
    mean_prediction: float
    """Mean probability."""
    differences: tuple[Difference, ...]
    """To the export's test rows, of each metric that both have; none where the export was not evaluated."""

    def difference(self, metric: str) -> Difference | None:
        """That of one metric."""
        return next((one for one in self.differences if one.metric == metric), None)


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of neighbouring predictions."""

    low: float
    """Least probability."""
    high: float
    """Largest probability."""
    rows: int
    """At least 1."""
    mean_prediction: float
    """Mean probability."""
    label_ratio: float
    """Share of clicks."""


@dataclass(frozen=True)
class JudgedFile:
    """A file of the log judged, a day as a rule."""

    file: str
    """Its path."""
    judged: Judged
    """Its rows."""


@dataclass(frozen=True)
class Group:
    """Rows that have something in common."""

    rows: int
    """At least 1."""
    share: float
    """Of all rows, by weight, 0 to 1."""
    label_ratio: float
    """Share of clicks."""
    mean_prediction: float
    """Mean probability."""
    log_loss: float
    """Nats per row."""
    deviations: float
    """Predicted less observed clicks, in standard deviations that the clicks have if the predictions are right."""

    @property
    def calibration(self) -> float | None:
        """Mean prediction over label ratio; None without a click."""
        return self.mean_prediction / self.label_ratio if self.label_ratio else None


@dataclass(frozen=True)
class ValueGroup:
    """The rows that hold one value of a category."""

    value: str
    """As text; of a prepared log the table row."""
    group: Group
    """Its rows."""
    unknown_share: float | None
    """Share of them in which the model does not know the value: 0 or 1, but for values that are counted as one. None
    where that cannot be told."""
    missed_rows: int
    """Rows that hold the value and may not be counted here, at most: 0 unless the log has very many values."""


@dataclass(frozen=True)
class CategoryField:
    """A categorical column."""

    column: str
    """Its name."""
    unknown_share: float | None
    """Share of rows whose value the model has no table row for; None where values are numbered by a hash or modulo,
    which gives every value a row."""
    unknown: Group | None
    """These rows; None where there are none or it cannot be told."""
    missing: Group | None
    """Rows without a value; None where there are none."""
    values: tuple[ValueGroup, ...]
    """The most frequent values, the most frequent first."""
    others: Group | None
    """All rows with other values; None where there are none, and of lists, whose rows are in the group of each of their
    values."""


@dataclass(frozen=True)
class NumberBin:
    """Rows whose number lies in a range."""

    low: float
    """The least number among them, as the log has it; a negative one of a column of whole numbers counts as 0."""
    high: float
    """The largest."""
    group: Group
    """These rows."""


@dataclass(frozen=True)
class NumberField:
    """A numeric column."""

    column: str
    """Its name."""
    missing: Group | None
    """Rows without a number; None where there are none."""
    bins: tuple[NumberBin, ...]
    """Ranges of about equally many rows, ascending; equal numbers are in one."""


@dataclass(frozen=True)
class EvaluatedModel:
    """What was evaluated."""

    path: str
    """model.pt, as it was given."""
    file: ModelFile
    """What it is."""
    test: Metrics | None
    """The export's own test metrics; None where it was not evaluated."""


@dataclass(frozen=True)
class ModelEvaluation:
    """evaluation.json: an exported model judged on a log."""

    FORMAT: ClassVar[int] = 2
    HOW_TO_MAKE: ClassVar[str] = "evaluate a model first (python -m pipeline.evaluate_model)"

    model: EvaluatedModel
    """The model."""
    log: str
    """The log's data.path."""
    is_prepared: bool
    """Whether the log is prepared: the values of its categories are then table rows."""
    weight: str
    """Column of the rows' weights, by which all means, shares and ratios are; empty where all rows count the same."""
    overall: Judged
    """All rows."""
    expected_calibration_error: float
    """Mean over rows of how far their bin of `reliability` has its mean prediction from its label ratio, 0 to 1."""
    reliability: tuple[ReliabilityBin, ...]
    """Deciles of the prediction, ascending; equal predictions are in one bin."""
    files: tuple[JudgedFile, ...]
    """File by file, in the log's order."""
    categories: tuple[CategoryField, ...]
    """Column by column, in the model's order."""
    numbers: tuple[NumberField, ...]
    """Column by column, in the model's order."""
