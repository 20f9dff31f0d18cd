"""The program evaluate_model: an export judged on its own test rows has model.json's figures; mistakes are one line."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.evaluate_model import main
from pipeline.evaluation.evaluate import PAGE, QUARANTINE, RECORD
from pipeline.evaluation.exported import open_export
from pipeline.evaluation.intervals import METRICS
from pipeline.run.processes import join
from pipeline.run.records.codec import read_record
from pipeline.run.records.evaluation import ModelEvaluation
from pipeline.session import open_session
from tests.pipeline.evaluation.conftest import Made, made, raw_test_rows, write_days

Making = Callable[[str], Made]
TinyRun = Any
assert made, "the fixture of the exports is this file's too"


def figures(folder: Path) -> ModelEvaluation:
    """What was written."""
    return read_record(folder / RECORD, ModelEvaluation)


def as_text(table: pa.Table, path: Path) -> None:
    """The rows as a text file with a header."""
    rows = [["" if value is None else str(value) for value in row.values()] for row in table.to_pylist()]
    path.write_text("\n".join("\t".join(row) for row in [table.column_names, *rows]) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("numbering", ["hash", "vocabulary"])
def test_the_exports_own_test_rows(
    made: Making, tmp_path: Path, numbering: Literal["hash", "vocabulary"], capsys: pytest.CaptureFixture[str]
) -> None:
    """Read again as raw rows, Parquet or text, they give model.json's test figures within 1e-6; overall is the mean of
    the files'; the page and the record are there, and what is printed names them."""
    own = made(numbering)
    test = open_export(str(own.folder)).card.metrics.test
    days = write_days(tmp_path / "days", own.test)
    (tmp_path / "text").mkdir()
    as_text(own.test, tmp_path / "text" / "log.tsv")
    layout = {**own.dataset.schema.to_json(), "columns": []}
    (tmp_path / "own.json").write_text(json.dumps(layout))
    for log, more in ((days, []), (tmp_path / "text", ["--data.schema", str(tmp_path / "own.json")])):
        output = tmp_path / f"of_{log.name}"
        assert main([str(own.model), "--data.path", str(log), *more, "--output", str(output)]) == 0
        found = figures(output)
        for name in METRICS:
            assert getattr(found.overall.metrics, name) == pytest.approx(getattr(test, name), rel=0, abs=1e-6), name
        assert found.overall.metrics.rows == test.rows == len(own.test)
        assert all(one.is_chance for one in found.overall.differences)
        loss = sum(one.judged.metrics.log_loss * one.judged.metrics.rows for one in found.files) / test.rows
        assert loss == pytest.approx(found.overall.metrics.log_loss)
        assert str(output / PAGE) in capsys.readouterr().out and (output / PAGE).read_text().startswith("<!DOCTYPE")
        shares = [one.unknown_share for one in found.categories]
        assert all(share is None for share in shares) if numbering == "hash" else max(shares) > 0.01


@pytest.mark.slow
def test_a_trained_run(finished: TinyRun, tmp_path: Path) -> None:
    """The export of a real run, on its own test rows: the figures that its training measured, within 1e-6."""
    with join("cpu") as processes, open_session(finished.config, processes) as session:
        days = write_days(tmp_path / "days", raw_test_rows(session.dataset))
    output = tmp_path / "out"
    assert main([str(finished.path), "--data.path", str(days), "--output", str(output)]) == 0
    found = figures(output)
    for name in METRICS:
        here, there = (getattr(one, name) for one in (found.overall.metrics, found.model.test))
        assert here == pytest.approx(there, rel=0, abs=1e-6), name


@pytest.mark.slow
def test_where_it_is_written(
    made: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default beside the model, by the log's name; what is there is not replaced unless that is asked for, and then
    the same evaluation gives the same bytes. The model may be its folder, and be named by --model."""
    for name in ("model.pt", "model.json"):
        shutil.copy(made("hash").folder / name, tmp_path)
    days = write_days(tmp_path / "newer days", made("hash").test)
    arguments = ["--data.path", f"{days}/", "--model", str(tmp_path)]
    assert main(arguments) == 0
    folder = tmp_path / "evaluations" / "newer%20days"
    page, record = (folder / PAGE).read_text(), (folder / RECORD).read_bytes()
    assert shlex.join(arguments) in page.replace("&#39;", "'")
    capsys.readouterr()
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{folder} has {RECORD} and {PAGE} already" in error
    assert main([*arguments, "--overwrite"]) == 0 and (folder / RECORD).read_bytes() == record
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert main([*arguments, "--output", str(tmp_path / "new" / "er")]) == 1
    assert f"{tmp_path} cannot be written into; give another --output" in capsys.readouterr().err
    (tmp_path / "file").write_text("mine")
    assert main([*arguments, "--output", str(tmp_path / "file")]) == 1
    assert (tmp_path / "file").read_text() == "mine" and "is a file; give a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_mistakes(made: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is one line that names it, status 1, and nothing is written."""
    table = made("hash").test
    one_label = table.set_column(table.column_names.index("label"), "label", pa.array([0] * len(table)))
    logs = {
        "one_label": one_label,
        "no_labels": table.drop_columns(["label"]),
        "lacking": table.drop_columns(["cat_7"]),
        "empty": table.slice(0, 0),
    }
    for name, rows in logs.items():
        pq.write_table(rows, tmp_path / f"{name}.parquet")
    model, output = str(made("hash").model), tmp_path / "out"
    for arguments, said in (
        ([model, "--data.path", str(tmp_path / "one_label.parquet")], "is 0 in each of its"),
        ([model, "--data.path", str(tmp_path / "no_labels.parquet")], "has no labels (column 'label')"),
        ([model, "--data.path", str(tmp_path / "lacking.parquet")], "holds column 'cat_7' 0 times"),
        ([model, "--data.path", str(tmp_path / "empty.parquet")], "holds no rows"),
        ([model, "--data.path", str(tmp_path / "nowhere")], "does not exist"),
        ([str(tmp_path), "--data.path", "x"], "model.pt does not exist"),
    ):
        assert main([*arguments, "--output", str(output)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("pipeline.evaluate_model: ") and said in error and error.count("\n") == 1
        assert not output.exists()


@pytest.mark.slow
def test_bad_lines(made: Making, tmp_path: Path) -> None:
    """Those that may be set aside are kept beside the evaluation, and the others are judged."""
    as_text(made("hash").test.slice(0, 100), tmp_path / "log.tsv")
    lines = (tmp_path / "log.tsv").read_text().splitlines()
    (tmp_path / "log.tsv").write_text("\n".join([*lines[:50], "nonsense", *lines[50:]]) + "\n")
    output = tmp_path / "out"
    arguments = [str(made("hash").model), "--data.path", str(tmp_path / "log.tsv"), "--output", str(output)]
    layout = {**made("hash").dataset.schema.to_json(), "columns": []}
    (tmp_path / "own.json").write_text(json.dumps(layout))
    arguments += ["--data.schema", str(tmp_path / "own.json")]
    assert main(arguments) == 1 and not output.exists()
    assert main([*arguments, "--data.max-bad-rows", "1"]) == 0
    assert figures(output).overall.metrics.rows == 100
    assert json.loads((output / QUARANTINE).read_text())["line"] == 51


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model.pt"], "data.path is empty"),
        (["model.pt", "--data.path", "x", "--groups.values", "0"], "groups.values is 0"),
        (["model.pt", "--data.path", "x", "--model", "other.pt"], "Unrecognized options"),
        (["--data.path", "x"], "Required options"),
        (["model.pt", "--data.path", "x", "--data.max-table-rows", "9"], "max-table-rows"),
    ],
)
def test_settings(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A setting that is missing, out of its range, given twice, or that would be ignored ends the program, by name."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2 and said in capsys.readouterr().err
