"""An evaluation's tables: beside the export's figures, by file, reliability, and by field."""

from collections.abc import Sequence

from pipeline.evaluation.words import (
    METRIC_TITLES,
    calibration,
    named_groups,
    short_name,
    shown,
    span,
    worst_calibrated,
)
from pipeline.report.tables import ABSENT, Row, Table, optional
from pipeline.report.words import difference, percent
from pipeline.run.records.evaluation import CategoryField, Group, ModelEvaluation, NumberField

SHOWN_WORST = 12
"""Worst-calibrated groups."""
_GROUP_HEADS = ("rows", "share", "clicked", "predicted", "calibration", "deviations", "log loss")


def metrics_table(found: ModelEvaluation) -> Table:
    """Each metric with its error, beside the export's own on its test rows."""
    metrics, errors = found.overall.metrics, found.overall.errors
    rows = []
    for name, title in METRIC_TITLES.items():
        own, error, change = getattr(metrics, name), getattr(errors, name), found.overall.difference(name)
        cells = (title, optional(own, ".5f"), "" if error is None else f"± {error:.5f}")
        if change is None:
            rows.append(Row((*cells, ABSENT, ABSENT, ABSENT, "")))
            continue
        interval = f"{difference(change.low)} to {difference(change.high)}"
        verdict = "within chance" if change.is_chance else "more than chance"
        rows.append(Row((*cells, f"{change.export:.5f}", difference(change.difference), interval, verdict)))
    test = found.model.test
    caption = (
        "± is a standard error. The 95 % interval takes rows as drawn one by one, and the export's test rows, of whose "
        "spread model.json says nothing, to spread as these do; where many rows are of one user the truth is wider."
    )
    heads = ("metric", "these rows", "", "test rows" if test is None else f"{test.rows:,} test rows", "difference")
    return Table("metrics", "Beside the export's own figures", (*heads, "95 % interval", ""), tuple(rows), caption)


def files_table(found: ModelEvaluation) -> Table:
    """A line a file."""
    rows = []
    for one in found.files:
        judged, metrics = one.judged, one.judged.metrics
        change = judged.difference("log_loss")
        rows.append(
            Row(
                (
                    shown(short_name(one.file)),
                    f"{metrics.rows:,}",
                    percent(judged.label_ratio),
                    percent(judged.mean_prediction),
                    optional(metrics.calibration, ".3f"),
                    f"{metrics.log_loss:.4f}",
                    ABSENT if change is None else difference(change.difference),
                    ABSENT if change is None else f"{difference(change.low)} to {difference(change.high)}",
                    optional(metrics.auc, ".4f"),
                    optional(metrics.normalized_entropy, ".4f"),
                )
            )
        )
    heads = ("file", "rows", "clicked", "predicted", "calibration", "log loss", "to the test rows", "95 % interval")
    return Table("files", "File by file", (*heads, "AUC", "normalized entropy"), tuple(rows))


def reliability_table(found: ModelEvaluation) -> Table:
    """A line a decile of the prediction."""
    rows = tuple(
        Row(
            (
                f"{one.low:.4f} to {one.high:.4f}",
                f"{one.rows:,}",
                f"{one.mean_prediction:.4f}",
                f"{one.label_ratio:.4f}",
                difference(one.mean_prediction - one.label_ratio),
            )
        )
        for one in found.reliability
    )
    heads = ("prediction", "rows", "mean prediction", "clicked", "difference")
    return Table("reliability", "Deciles of the prediction", heads, rows)


def fields_table(found: ModelEvaluation) -> Table:
    """A line a column: what is missing, what is unknown, and how the model does on unknown values."""
    rows = []
    for one in found.categories:
        known = ABSENT if one.unknown_share is None else percent(one.unknown_share)
        unknown = one.unknown
        on_unknown = (
            (ABSENT,) * 3
            if unknown is None
            else (percent(unknown.label_ratio), percent(unknown.mean_prediction), f"{unknown.log_loss:.4f}")
        )
        rows.append(Row((one.column, "category", _share(one.missing), known, *on_unknown)))
    rows += [Row((one.column, "number", _share(one.missing), *[ABSENT] * 4)) for one in found.numbers]
    caption = (
        "Unknown: the model has no table row of its own for the value, as it was not among its training rows, or among "
        "too few of them. A dash: values have rows by a hash or modulo, so that cannot be told. (How a column's values "
        "have shifted against training, as a population stability index says it, takes the training rows' shares, "
        "which model.json does not hold.)"
    )
    heads = (
        "column",
        "kind",
        "missing",
        "unknown",
        "clicked of unknown",
        "predicted of unknown",
        "log loss of unknown",
    )
    return Table("fields", "What the columns hold", heads, tuple(rows), caption, texts=frozenset({1}))


def _share(group: Group | None) -> str:
    return percent(0.0 if group is None else group.share)


def worst_table(found: ModelEvaluation) -> Table:
    """The groups whose predictions are farthest from what was clicked, by more than chance."""
    rows = tuple(Row((name, *_cells(group))) for name, group in worst_calibrated(named_groups(found))[:SHOWN_WORST])
    return Table("worst", "Worst-calibrated groups", ("rows with", *_GROUP_HEADS), rows)


def field_tables(found: ModelEvaluation) -> list[Table]:
    """A table for each column."""
    categories = [_category_table(one, place) for place, one in enumerate(found.categories)]
    return [*categories, *(_number_table(one, place) for place, one in enumerate(found.numbers))]


def _category_table(one: CategoryField, place: int) -> Table:
    rows = []
    for value in one.values:
        tag = "unknown" if value.unknown_share else ""
        cells = _cells(value.group)
        if value.missed_rows:
            cells = (f"{cells[0]} (up to {value.missed_rows:,} more)", *cells[1:])
        rows.append(Row((shown(value.value), *cells), tag=tag))
    rows += _named({"all unknown values": one.unknown, "missing": one.missing, "other values": one.others})
    return Table(f"category-{place}", one.column, (one.column, *_GROUP_HEADS), tuple(rows), folded=True)


def _number_table(one: NumberField, place: int) -> Table:
    rows = [Row((span(each.low, each.high), *_cells(each.group))) for each in one.bins]
    rows += _named({"missing": one.missing})
    return Table(f"number-{place}", one.column, (one.column, *_GROUP_HEADS), tuple(rows), folded=True)


def _named(groups: dict[str, Group | None]) -> Sequence[Row]:
    return [Row((name, *_cells(group)), kind="naive") for name, group in groups.items() if group is not None]


def _cells(group: Group) -> tuple[str, ...]:
    return (
        f"{group.rows:,}",
        percent(group.share),
        percent(group.label_ratio),
        percent(group.mean_prediction),
        calibration(group),
        f"{group.deviations:+.1f}".replace("-", "−"),
        f"{group.log_loss:.4f}",
    )
