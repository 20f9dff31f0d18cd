"""Weights of rows: which are weights, and that each is read with its row from every kind of file."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import DataConfig, open_dataset
from pipeline.data.describe import DescribeConfig, describe
from pipeline.data.formats.weights import WeightError, weight_values
from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.prepare.prepare import prepare
from pipeline.data.schema import Schema

ROWS = 2_000
SCHEMA = Schema("worthy", "label", ("number",), ("user",), (50,), floats=(), weight="worth", delimiter=",")
KINDS = ("csv", "tsv.gz", "parquet", "prepared")


@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=20))
def test_numbers_above_zero_are_weights(values: list[float]) -> None:
    """As float32; whole numbers and booleans that are true too."""
    assert weight_values(pa.array(values)).tolist() == np.array(values, np.float32).tolist()
    assert weight_values(pa.array([1, 7])).tolist() == [1, 7] and weight_values(pa.array([True])).tolist() == [1]


@pytest.mark.parametrize("bad", [0, -1.0, None, math.nan, math.inf, -math.inf, 1e39, 1e-50])
def test_what_is_no_weight(bad: float | None) -> None:
    """Zero, negative, missing and not finite ones, and what float32 makes one of these; the row is known."""
    with pytest.raises(WeightError) as found:
        weight_values(pa.array([1.0, 2.0, bad, bad]))
    assert found.value.row == 2 and "a finite number above 0" in str(found.value)


def table(rows: int = ROWS) -> pa.Table:
    """A log whose weights follow from its number."""
    draw = np.random.default_rng(0)
    number = draw.integers(0, 90, rows)
    columns = {"label": draw.integers(0, 2, rows), "worth": number / 8 + 0.25, "number": number}
    return pa.table({**columns, "user": [f"u{one}" for one in draw.integers(0, 30, rows)]})


def write_log(folder: Path, kind: str, log: pa.Table, schema: Schema = SCHEMA) -> DataConfig:
    """The log as files of a kind, in two of them, and the settings that read it."""
    half = len(log) // 2
    (folder / "log").mkdir()
    for part, rows in enumerate((log.slice(0, half), log.slice(half))):
        path = folder / "log" / f"part_{part}.{'csv' if kind == 'prepared' else kind}"
        if kind == "parquet":
            pq.write_table(rows, path, row_group_size=300)
        else:
            delimiter = "\t" if "tsv" in kind else ","
            options = pa.csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="none")
            with pa.output_stream(path) as file:  # compressed by its name
                file.write(f"{delimiter.join(rows.column_names)}\n".encode())
                pa.csv.write_csv(rows, file, options)
    layout = Schema.from_json({**schema.to_json(), "delimiter": "\t" if "tsv" in kind else ","})
    layout.save(folder / "schema.json")
    if kind == "prepared":
        numbering: Any = "hash"
        target = str(folder / "prepared")
        prepare(PrepareConfig(str(folder / "log"), str(folder / "schema.json"), target, numbering, processes=1))
        return DataConfig(path=target)
    return DataConfig(path=str(folder / "log"), schema=str(folder / "schema.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_has_its_weight(tmp_path: Path, kind: str) -> None:
    """In whatever order and on whatever rank rows are read: the weight is the one that stands beside its number; every
    row of the log comes once; shares of clicks are by weight."""
    log = table()
    dataset = open_dataset(write_log(tmp_path, kind, log), str(tmp_path / "data"))
    seen = list[float]()
    for split in ("train", "valid", "test"):
        clicks = weights = 0.0
        for rank, seed in ((0, 3), (1, 3)):
            for batch in dataset.stream(split, 64, rank, 2, shuffle_seed=seed, drop_last=False):
                assert batch.weight is not None and batch.weight.shape == batch.label.shape
                number = np.expm1(batch.dense[:, 0].double().numpy()).round()
                np.testing.assert_array_equal(batch.weight.numpy(), (number / 8 + 0.25).astype(np.float32))
                clicks += float(batch.weight.double() @ batch.label.double())
                weights += float(batch.weight.double().sum())
                seen += batch.weight.tolist()
        assert dataset.label_ratio(split) == pytest.approx(clicks / weights, rel=1e-12)
    assert sorted(seen) == sorted(log["worth"].to_pylist())
    (first, *_) = list(dataset.stream("train", 50))
    assert first.weight is not None, "also in the files' own order"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("bad", [0.0, -2.5, math.nan, None])
def test_bad_weights_are_named(tmp_path: Path, kind: str, bad: float | None) -> None:
    """The file, the row or line, the column, and what was expected; where lines may be set aside, it is."""
    log = table()
    worth = log["worth"].to_pylist()
    worth[ROWS - 3] = bad
    log = log.set_column(1, "worth", pa.array(worth, pa.float64()))
    config = write_log(tmp_path, kind, log)
    place = r"part_1\.parquet: row 997 \(from 0\)" if kind == "parquet" else r"part_1\.csv:999: "
    with pytest.raises(
        ValueError, match=rf"{place}.*column 'worth': found .*expected a weight: a finite number above 0"
    ):
        dataset = open_dataset(config, str(tmp_path / "data"))
        for split in ("train", "valid", "test"):
            list(dataset.stream(split, 100, drop_last=False))
    if kind == "csv":
        allowed = DataConfig(path=config.path, schema=config.schema, max_bad_rows=1)
        dataset = open_dataset(allowed, str(tmp_path / "again"))
        assert sum(dataset.rows(split) for split in ("train", "valid", "test")) == ROWS - 1


def test_text_is_no_weight(tmp_path: Path) -> None:
    """A Parquet column of text is refused by its type, a line with a word as a bad line."""
    log = table()
    worth = pa.array(["3"] * (ROWS - 1) + ["much"])
    log = log.set_column(1, "worth", worth)
    with pytest.raises(ValueError, match=r"column 'worth' is of type string, expected a number"):
        open_dataset(write_log(tmp_path, "parquet", log), str(tmp_path / "data"))
    (tmp_path / "text").mkdir()
    said = describe(DescribeConfig(write_log(tmp_path / "text", "csv", log)))
    assert "1 of 2,000 lines are not rows" in said and "column 'worth': found 'much', expected a weight" in said


def test_described(tmp_path: Path) -> None:
    """describe shows the column's role and range, and that shares of clicks are by weight."""
    said = describe(DescribeConfig(write_log(tmp_path, "csv", table())))
    (line,) = [line for line in said.splitlines() if line.startswith("worth ")]
    assert "weight of the row" in line and "0.25 to 11.375" in line
    assert said.count("clicks by weight") == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": "label"}, r"\['label'\] occur more than once"),
        ({"weight": "user"}, r"\['user'\] occur more than once"),
        ({"timestamp": "worth"}, r"schema\.weight is 'worth', which is the timestamp"),
        ({"columns": ["label", "number", "user"]}, r"schema\.columns lacks \['worth'\]"),
        ({"weight": 3}, r"schema\.weight is 3; expected str"),
    ],
)
def test_schemas(changes: dict[str, Any], message: str) -> None:
    """A weight has no other role. A schema without one is written as ever."""
    with pytest.raises(ValueError, match=message):
        Schema.from_json({**SCHEMA.to_json(), **changes})
    assert Schema.from_json(SCHEMA.to_json()) == SCHEMA
    assert "weight" not in Schema("plain", "label", (), ("user",), (9,)).to_json()
