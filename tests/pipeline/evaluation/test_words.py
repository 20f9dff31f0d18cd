"""pipeline/evaluation/words.py: what is said follows from the figures, and chance is called chance."""

import dataclasses

from pipeline.evaluation.words import (
    BEYOND_CHANCE,
    details,
    headline,
    most_unknown,
    named_groups,
    terminal_lines,
    worst_calibrated,
    worst_file,
)
from pipeline.run.records.results import Metrics
from tests.pipeline.evaluation.made_up import evaluation, group, judged


def test_headline() -> None:
    """Worse, better or within chance, by the interval; nothing to compare with is said too."""
    found = evaluation()
    assert "log loss of 0.4600, 0.0100 worse than on its test rows, which is more than chance" in headline(found)
    better = dataclasses.replace(found, overall=judged(0.44))
    assert "0.0100 better than on its test rows" in headline(better)
    chance = dataclasses.replace(found, overall=judged(0.46, half=0.02))
    assert "on its test rows it had 0.4500, and so much may be chance" in headline(chance)
    assert "says nothing of test rows" in headline(evaluation(test=None))


def test_worst_file() -> None:
    """The file with the largest normalized entropy, as the share of clicks moves log loss; none of a single file; of
    files with one label each the largest log loss."""
    found = evaluation(files=(0.45, 0.47, 0.46))
    assert worst_file(found) is found.files[1] and worst_file(evaluation(files=(0.45,))) is None
    tilted = [
        dataclasses.replace(one, judged=judged(0.9 - place / 10, entropy=0.8 + place / 10))
        for place, one in enumerate(found.files)
    ]
    assert worst_file(dataclasses.replace(found, files=tuple(tilted))) is tilted[2]
    alone = [
        dataclasses.replace(one, judged=dataclasses.replace(one.judged, metrics=Metrics(loss, None, None, None, 5)))
        for one, loss in zip(found.files, (0.1, 0.2, 0.15), strict=True)
    ]
    assert worst_file(dataclasses.replace(found, files=tuple(alone))) is alone[1]


def test_worst_calibrated() -> None:
    """Groups off by more than chance, the largest factor first: one without a click leads, one of many rows but a small
    factor stands last, and what may be chance is not there."""
    groups = [
        ("chance", group(10, 0.1, 0.5, BEYOND_CHANCE - 0.1)),
        ("large", group(900, 0.25, 0.27, 40.0)),
        ("below", group(90, 0.4, 0.1, -9.0)),
        ("twice", group(90, 0.1, 0.2, 9.0)),
        ("no click", group(90, 0.0, 0.1, 9.0)),
    ]
    assert [name for name, _ in worst_calibrated(groups)] == ["no click", "below", "twice", "large"]
    names = [name for name, _ in named_groups(evaluation())]
    assert names[:5] == ["user = u1", "user = u2", "user unknown", "user missing", "user otherwise"]
    assert names[5:] == ["site = s", "price 0", "price 1 to 12,000", "price missing"]


def test_terminal() -> None:
    """Overall, each test figure, the worst file, unknown values, and at most three badly calibrated groups."""
    lines = terminal_lines(evaluation())
    assert lines[0].startswith("overall    1,000 rows: log loss 0.4600, AUC 0.7700, normalized entropy 0.8364")
    assert sum(line.startswith("test rows ") for line in lines) == 4
    assert "worst file day_1.tsv, log loss 0.4700" in " ".join(lines)
    assert [line for line in lines if line.startswith("unknown")] == ["unknown    user: 30.0 % of the rows"]
    assert [line.split(":")[0] for line in lines if line.startswith("calibrated")] == [
        *("calibrated price missing", "calibrated user = u2", "calibrated user unknown"),
    ]
    assert not any(line.startswith("test rows") for line in terminal_lines(evaluation(test=None)))
    hostile = terminal_lines(evaluation(hostile="\n\x1b[31m" + "x" * 100))
    assert len(hostile) == len(lines) and not any("\n" in line or "\x1b" in line for line in hostile)


def test_what_cannot_be_told() -> None:
    """Where no column has a vocabulary it is said that unknown values cannot be told; else it is not."""
    found = evaluation()
    assert [one.column for one in most_unknown(found)] == ["user"] and "cannot be told" not in " ".join(details(found))
    hashed = dataclasses.replace(found, categories=found.categories[1:])
    assert most_unknown(hashed) == [] and "cannot be told" in " ".join(details(hashed))
