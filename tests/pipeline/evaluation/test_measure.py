"""pipeline/evaluation/measure.py: one pass gives overall, per file and per field what the rows themselves give."""

from pathlib import Path

import numpy
import pyarrow as pa
import pytest
import torch
from scipy.special import expit

from pipeline.evaluation.config import GroupConfig, LogConfig
from pipeline.evaluation.log import open_log
from pipeline.evaluation.measure import measure
from pipeline.run.records.codec import from_plain, read_record, to_plain, write_record
from pipeline.run.records.evaluation import Group, ModelEvaluation
from pipeline.training.metrics import Evaluation
from tests.pipeline.evaluation.conftest import TEST, random_rows, small_export, vocabulary_of, write_days

KNOWN = pa.array(["a", "ü", "news.example"])
FEW = GroupConfig(values=4, bins=3)


def evaluated(folder: Path, table: pa.Table, config: GroupConfig = FEW) -> ModelEvaluation:
    """The evaluation of a small export on the rows, in three files."""
    export = small_export(vocabularies={"site": vocabulary_of(KNOWN)})
    log = LogConfig(str(write_days(folder / "log", table)))
    return measure(export, open_log(log, export, folder / "lines"), log.path, config)


def answers(folder: Path, table: pa.Table) -> numpy.ndarray:
    """The logits of the rows."""
    export = small_export(vocabularies={"site": vocabulary_of(KNOWN)})
    log = open_log(LogConfig(str(write_days(folder / "other", table, days=1))), export, folder / "lines")
    return numpy.concatenate(
        [export.logits(torch.from_numpy(one.dense), torch.from_numpy(one.ids)).numpy() for one in log.pieces()]
    )


def check(found: Group, mask: numpy.ndarray, logits: numpy.ndarray, labels: numpy.ndarray) -> None:
    """A group has the means of its rows."""
    x, y = logits[mask].astype(numpy.float64), labels[mask]
    loss = numpy.logaddexp(0.0, numpy.where(y > 0, -x, x)).mean()
    expected = (mask.sum(), mask.mean(), y.mean(), expit(x).mean(), loss)
    assert (found.rows, found.share, found.label_ratio, found.mean_prediction, found.log_loss) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("batch_size", [7, 8_192])
def test_every_part_is_that_of_its_rows(tmp_path: Path, batch_size: int) -> None:
    """Overall and file by file the metrics are `Evaluation`'s on those rows; each value and range has the means of the
    rows that hold it; unknown and missing ones those of theirs. Whatever the batch."""
    table = random_rows(500, seed=7)
    found = evaluated(tmp_path, table, GroupConfig(values=4, bins=3, batch_size=batch_size))
    logits, labels = answers(tmp_path, table), table["clicked"].to_numpy()

    def metrics(part: slice) -> object:
        rows = Evaluation()
        rows.add(torch.from_numpy(logits[part]), torch.from_numpy(labels[part].astype(numpy.float32)))
        return rows.own_metrics()

    assert found.overall.metrics == metrics(slice(None)) and found.model.test == TEST
    assert [one.file.rpartition("/")[2] for one in found.files] == [f"day_{day}.parquet" for day in range(3)]
    for day, one in enumerate(found.files):
        assert one.judged.metrics == metrics(slice(167 * day, 167 * (day + 1)))
        change = one.judged.difference("log_loss")
        assert change.difference == pytest.approx(one.judged.metrics.log_loss - TEST.log_loss)
    for field in found.categories:
        column = table[field.column].to_pylist()
        texts = numpy.array([str(v % 100 if field.column == "hour" and v is not None else v) for v in column])
        assert len(field.values) == 4
        for value in field.values:
            check(value.group, texts == value.value, logits, labels)
        check(field.missing, texts == "None", logits, labels)
        shown = [*(value.value for value in field.values), "None"]
        check(field.others, ~numpy.isin(texts, shown), logits, labels)
    site = next(field for field in found.categories if field.column == "site")
    strange = numpy.array([value not in ("a", "ü", "news.example", None) for value in table["site"].to_pylist()])
    check(site.unknown, strange, logits, labels)
    assert site.unknown_share == pytest.approx(strange.mean())
    assert {value.value: value.unknown_share for value in site.values}.items() <= {
        **{str(value): 1.0 for value in set(table["site"].to_pylist())},
        **dict.fromkeys(["a", "ü", "news.example"], 0.0),
    }.items()
    assert [field.unknown_share for field in found.categories if field.column != "site"] == [None, None]
    for number in found.numbers:
        values = numpy.array([numpy.nan if v is None else v for v in table[number.column].to_pylist()])
        values = values if number.column == "score" else numpy.maximum(values, 0)
        check(number.missing, numpy.isnan(values), logits, labels)
        for each in number.bins:
            slack = 1e-5 * max(abs(each.low), abs(each.high))
            check(each.group, (values >= each.low - slack) & (values <= each.high + slack), logits, labels)


def test_the_record(tmp_path: Path) -> None:
    """It is written and read back as it was, and another version of it is refused."""
    found = evaluated(tmp_path, random_rows(200, seed=8))
    write_record(tmp_path / "evaluation.json", found)
    assert read_record(tmp_path / "evaluation.json", ModelEvaluation) == found
    assert from_plain(to_plain(found), ModelEvaluation, "here") == found


@pytest.mark.parametrize("label", [0, 1])
def test_one_label_only(tmp_path: Path, label: int) -> None:
    """All rows with one label judge nothing; a single file of them is no error."""
    table = random_rows(90, seed=9)
    one = table.set_column(0, "clicked", pa.array([label] * 90))
    with pytest.raises(ValueError, match=f"column 'clicked' of the model, is {label} in each of its 90 rows"):
        evaluated(tmp_path / "one", one)
    labels = [label] * 30 + [1 - label] * 60
    both = evaluated(tmp_path / "both", table.set_column(0, "clicked", pa.array(labels)))
    assert both.files[0].judged.metrics.auc is None and both.overall.metrics.auc is not None


def test_a_bad_row_in_the_middle(tmp_path: Path) -> None:
    """What reading ahead meets comes out, with the file."""
    table = random_rows(90, seed=10)
    table = table.set_column(0, "clicked", pa.array([0, 1] * 40 + [5] * 10))
    with pytest.raises(ValueError, match=r"day_2\.parquet: row 20 \(from 0\), column 'clicked': found label 5"):
        evaluated(tmp_path, table)


@pytest.mark.parametrize("settings", [{"values": 0}, {"bins": 101}, {"batch_size": 0}])
def test_settings_are_checked(settings: dict[str, int]) -> None:
    """A setting out of its range is named."""
    with pytest.raises(ValueError, match=f"^groups.{next(iter(settings))} is "):
        GroupConfig(**settings)
