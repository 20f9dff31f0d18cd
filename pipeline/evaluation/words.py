"""What an evaluation says in words: the headline, the few lines for the terminal, and what is worth a look first."""

import math
from collections.abc import Sequence

from pipeline.report.words import by_weight, difference, percent
from pipeline.run.records.evaluation import CategoryField, Difference, Group, JudgedFile, ModelEvaluation

BEYOND_CHANCE = 4.0
"""Deviations from which a group's predictions are called wrong: among a thousand groups that are right, one in sixteen
evaluations would have one."""
SHOWN_FIELDS, SHOWN_GROUPS = 3, 3
"""Lines in the terminal."""
METRIC_TITLES = {
    "log_loss": "log loss",
    "auc": "AUC",
    "normalized_entropy": "normalized entropy",
    "calibration": "calibration",
}


def short_name(path: str) -> str:
    """A file's name without its folder."""
    return path.rstrip("/").rpartition("/")[2] or path


def against_test(found: Difference) -> str:
    """A difference with its interval, and what to make of it."""
    verdict = "within chance" if found.is_chance else "more than chance"
    interval = f"{difference(found.low)} to {difference(found.high)}"
    return f"{difference(found.difference)}, 95 % {interval}: {verdict}"


def headline(found: ModelEvaluation) -> str:
    """How the model does, in a sentence or two."""
    metrics, change = found.overall.metrics, found.overall.difference("log_loss")
    text = f"On {metrics.rows:,} rows of {short_name(found.log)} the model has a log loss of {metrics.log_loss:.4f}"
    if change is None:
        return f"{text}; its export says nothing of test rows to compare with."
    if change.is_chance:
        return f"{text}; on its test rows it had {change.export:.4f}, and so much may be chance ({_interval(change)})."
    way = "worse" if change.difference > 0 else "better"
    return (
        f"{text}, {abs(change.difference):.4f} {way} than on its test rows, which is more than chance "
        f"({_interval(change)})."
    )


def _interval(found: Difference) -> str:
    return f"95\u00a0%: {difference(found.low)} to {difference(found.high)}"


def details(found: ModelEvaluation) -> list[str]:
    """What a reader must know beside the headline."""
    overall = found.overall
    said = [by_weight(found.weight)] if found.weight else []
    said += [
        f"{percent(overall.label_ratio)} of the rows are clicks, {percent(overall.mean_prediction)} are predicted. "
        "Log loss moves with the share of clicks; normalized entropy, which divides by what knowing that share alone "
        "gives, moves less."
    ]
    worst = worst_file(found)
    if worst is not None:
        said.append(f"Worst file: {_file(worst)}.")
    if not any(one.unknown_share is not None for one in found.categories):
        said.append("The model numbers values by a hash or modulo, so which of them it has never met cannot be told.")
    return said


def worst_file(found: ModelEvaluation) -> JudgedFile | None:
    """The file with the largest normalized entropy (of one label: log loss); None where there is one file only."""
    if len(found.files) < 2:
        return None
    both = [one for one in found.files if one.judged.metrics.normalized_entropy is not None]
    if not both:
        return max(found.files, key=lambda one: one.judged.metrics.log_loss)
    return max(both, key=lambda one: one.judged.metrics.normalized_entropy or 0.0)


def most_unknown(found: ModelEvaluation) -> list[CategoryField]:
    """The columns with unknown values, those with the most first."""
    some = [one for one in found.categories if one.unknown_share]
    return sorted(some, key=lambda one: -(one.unknown_share or 0.0))


def named_groups(found: ModelEvaluation) -> list[tuple[str, Group]]:
    """Every group of every field, with what to call it."""
    groups = list[tuple[str, Group | None]]()
    for category in found.categories:
        column = shown(category.column)
        groups += [(f"{column} = {shown(one.value)}", one.group) for one in category.values]
        groups += [(f"{column} unknown", category.unknown), (f"{column} missing", category.missing)]
        groups += [(f"{column} otherwise", category.others)]
    for number in found.numbers:
        column = shown(number.column)
        groups += [(f"{column} {span(one.low, one.high)}", one.group) for one in number.bins]
        groups += [(f"{column} missing", number.missing)]
    return [(name, group) for name, group in groups if group is not None]


def worst_calibrated(groups: Sequence[tuple[str, Group]]) -> list[tuple[str, Group]]:
    """The groups whose predictions are off by more than chance, the largest factor first."""

    def factor(group: Group) -> float:
        return math.inf if group.calibration is None else abs(math.log(max(group.calibration, 1e-300)))

    beyond = [one for one in groups if abs(one[1].deviations) > BEYOND_CHANCE]
    return sorted(beyond, key=lambda one: -factor(one[1]))


def shown(value: str, most: int = 40) -> str:
    """A value as one short piece of a line.

    >>> shown("a\\tb"), shown("x" * 50)
    ('a�b', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…')
    """
    text = "".join(character if character.isprintable() else "\ufffd" for character in value)
    return text if len(text) <= most else text[: most - 1] + "…"


def span(low: float, high: float) -> str:
    """A range of numbers.

    >>> span(3.0, 3.0), span(-0.5, 12000.0), span(1e6, 2.5e20)
    ('3', '-0.5 to 12,000', '1,000,000 to 2.5e+20')
    """

    def plain(number: float) -> str:
        return f"{number:,.10g}" if abs(number) < 1e10 else f"{number:.4g}"

    return plain(low) if low == high else f"{plain(low)} to {plain(high)}"


def calibration(group: Group) -> str:
    """Predicted over observed clicks."""
    return "no click" if group.calibration is None else f"{group.calibration:.3f}"


def terminal_lines(found: ModelEvaluation) -> list[str]:
    """A short answer: overall, the worst file, the fields with the most unknown values, the worst-calibrated groups."""
    metrics = found.overall.metrics
    assert metrics.auc is not None and metrics.normalized_entropy is not None, "there are rows of both labels"
    lines = [
        f"overall    {metrics.rows:,} rows: log loss {metrics.log_loss:.4f}, AUC {metrics.auc:.4f}, normalized entropy "
        f"{metrics.normalized_entropy:.4f}, calibration {metrics.calibration:.3f}, calibration error "
        f"{found.expected_calibration_error:.4f}"
    ]
    for one in found.overall.differences:
        lines.append(f"test rows  {METRIC_TITLES[one.metric]} {one.export:.4f} ({against_test(one)})")
    worst = worst_file(found)
    if worst is not None:
        lines.append(f"worst file {_file(worst)}")
    for field in most_unknown(found)[:SHOWN_FIELDS]:
        lines.append(f"unknown    {shown(field.column)}: {percent(field.unknown_share or 0.0)} of the rows")
    for name, group in worst_calibrated(named_groups(found))[:SHOWN_GROUPS]:
        lines.append(
            f"calibrated {name}: {percent(group.mean_prediction)} predicted, {percent(group.label_ratio)} clicked "
            f"({group.rows:,} rows)"
        )
    return lines


def _file(one: JudgedFile) -> str:
    metrics = one.judged.metrics
    entropy = metrics.normalized_entropy
    text = f"{shown(short_name(one.file))}, log loss {metrics.log_loss:.4f}"
    return text if entropy is None else f"{text}, normalized entropy {entropy:.4f} ({metrics.rows:,} rows)"
