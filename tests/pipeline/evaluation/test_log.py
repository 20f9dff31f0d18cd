"""pipeline/evaluation/log.py: a newer log gives the model what serving's encoder would, whatever the log is made of."""

import csv
import dataclasses
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy
import pyarrow as pa
import pytest

from pipeline.data.formats.parquet import PARQUET
from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.prepare.prepare import prepare
from pipeline.evaluation.config import LogConfig
from pipeline.evaluation.exported import Exported
from pipeline.evaluation.log import NewerLog, open_log
from pipeline.serving.raw_export import read_vocabulary
from pipeline.serving.raw_rows import RawRows
from tests.pipeline.evaluation.conftest import SCHEMA, random_rows, small_export, vocabulary_of, write_days

KNOWN = {"user": pa.array([3, -7, 12]), "site": pa.array(["ü", "a"]), "hour": pa.array([0, 5, 23])}


def opened(config: LogConfig, export: Exported, folder: Path) -> NewerLog:
    """The log, its line counts in a folder of their own."""
    return open_log(config, export, folder / "lines")


def inputs(log: NewerLog) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Dense inputs, ids and labels of all rows."""
    pieces = list(log.pieces())
    assert len(pieces) == log.units and sum(len(piece.label) for piece in pieces) == log.rows
    dense, ids, label = ([getattr(piece, name) for piece in pieces] for name in ("dense", "ids", "label"))
    return numpy.concatenate(dense), numpy.concatenate(ids), numpy.concatenate(label)


def encoder_of(export: Exported) -> RawRows:
    """Serving's encoder with the rules of a small export."""
    described: dict[str, Any] = {"vocabulary": None, "vocabulary_values": {}}
    schema, rules = export.schema.to_json(), export.card.numbering
    encoder = RawRows(
        {"schema": schema, "numbering": rules, "inputs": export.card.inputs, "raw_rows": described}, Path()
    )
    encoder._vocabularies = {column: (k.tolist(), r.tolist()) for column, (k, r) in export.vocabularies.items()}
    return encoder


@pytest.mark.parametrize("columns", [(), ("site",), ("user", "site", "hour")])
@pytest.mark.parametrize("table_rows", [(9, 40, 25), (4, 7, 5)])
def test_rows_are_as_serving_encodes_them(
    tmp_path: Path, columns: tuple[str, ...], table_rows: tuple[int, ...]
) -> None:
    """By hash, by vocabularies or both, also folded into smaller tables: of rows with missing, negative and unknown
    values, text and whole numbers, the ids are those of raw_rows.py and the dense inputs too, to float32's last bit."""
    vocabularies = {column: vocabulary_of(KNOWN[column]) for column in columns}
    export = small_export(vocabularies=vocabularies, table_rows=table_rows)
    table = random_rows(300, seed=1)
    write_days(tmp_path / "log", table)
    log = opened(LogConfig(str(tmp_path / "log")), export, tmp_path)
    dense, ids, label = inputs(log)
    numbers, rows, errors = encoder_of(export).encode_all(table.to_pylist())
    assert not errors and ids.tolist() == rows and label.tolist() == table["clicked"].to_pylist()
    numpy.testing.assert_allclose(dense, numpy.array(numbers, numpy.float32), rtol=1e-6, atol=1e-6)
    assert [piece.file for piece in log.pieces()] == sorted(piece.file for piece in log.pieces())


def test_what_is_unknown_and_missing(tmp_path: Path) -> None:
    """A value is unknown where the column has a vocabulary without it, and missing where there is none; columns without
    a vocabulary say nothing of what is unknown."""
    export = small_export(vocabularies={"site": vocabulary_of(KNOWN["site"])})
    table = random_rows(200, seed=2)
    write_days(tmp_path / "log", table, days=1)
    pieces = list(opened(LogConfig(str(tmp_path / "log")), export, tmp_path).pieces())
    sites, unknown, missing, values = (
        table["site"].to_pylist(),
        [found for piece in pieces for found in piece.unknown["site"].tolist()],
        [found for piece in pieces for found in piece.missing["site"].tolist()],
        [found for piece in pieces for found in piece.values["site"].to_pylist()],
    )
    assert unknown == [site is not None and site not in ("ü", "a") for site in sites]
    assert missing == [site is None for site in sites] and values == sites
    assert all(set(piece.unknown) == {"site"} for piece in pieces)


def test_text_in_another_layout(tmp_path: Path) -> None:
    """A log of text whose columns stand elsewhere, under another label, compressed: by its own schema, given or beside
    it, the same inputs as of the Parquet log."""
    export, table = small_export(vocabularies={"site": vocabulary_of(KNOWN["site"])}), random_rows(150, seed=3)
    write_days(tmp_path / "parquet", table, days=1)
    expected = inputs(opened(LogConfig(str(tmp_path / "parquet")), export, tmp_path))
    columns = ["score", "bought", "site", "more", "user", "hour", "age", "price"]
    (tmp_path / "text").mkdir()
    with gzip.open(tmp_path / "text" / "day.csv.gz", "wt", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for row in table.to_pylist():
            renamed = {**row, "bought": row["clicked"], "more": "?"}
            writer.writerow("" if renamed[name] is None else renamed[name] for name in columns)
    own = {**SCHEMA.to_json(), "label": "bought", "columns": columns, "delimiter": ",", "name": "shop"}
    (tmp_path / "own.json").write_text(json.dumps(own))
    given = LogConfig(str(tmp_path / "text"), schema=str(tmp_path / "own.json"))
    found = inputs(opened(given, export, tmp_path))
    (tmp_path / "text" / "schema.json").write_text(json.dumps(own))
    beside = inputs(opened(LogConfig(str(tmp_path / "text")), export, tmp_path))
    for one, other, third in zip(expected, found, beside, strict=True):
        assert numpy.array_equal(one, other) and numpy.array_equal(one, third)


def test_bad_lines_are_set_aside_if_they_may_be(tmp_path: Path) -> None:
    """A malformed line is an error that names it, unless so many may be set aside."""
    export = small_export()
    lines = ["\t".join(SCHEMA.inputs), "0\t1\t2\t.5\t3\ta\t14102105", "1\tx\t2\t.5\t3\ta\t14102105"]
    (tmp_path / "log.tsv").write_text("\n".join([*lines, lines[1]]) + "\n")
    log = opened(LogConfig(str(tmp_path / "log.tsv")), export, tmp_path)
    with pytest.raises(ValueError, match=r"log\.tsv:3: column 'price': found 'x'"):
        inputs(log)
    log = opened(LogConfig(str(tmp_path / "log.tsv"), max_bad_rows=1), export, tmp_path)
    assert len(inputs(log)[2]) == 2 and [bad.line for bad in log.bad_lines] == [3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["site"]), r"day_0\.parquet: holds column 'site' 0 times"),
        (lambda table: table.drop_columns(["clicked"]), r"day_0\.parquet has no labels \(column 'clicked'\)"),
        (lambda table: table.slice(0, 0), r"day_0\.parquet: holds no rows"),
        (
            lambda table: table.set_column(0, "clicked", pa.array([0, 7] * (len(table) // 2))),
            r"day_0\.parquet: row 1 \(from 0\), column 'clicked': found label 7, expected 0 or 1",
        ),
        (
            lambda table: table.set_column(4, "user", table["user"].cast(pa.string())),
            r"column 'user' is of type string, expected a whole number",
        ),
    ],
    ids=["a column", "label", "rows", "a bad label", "type"],
)
def test_a_log_that_lacks_something(tmp_path: Path, change: Callable[[pa.Table], pa.Table], message: str) -> None:
    """The error names the file and what is wrong with it."""
    write_days(tmp_path / "log", change(random_rows(40, seed=4)), days=1)
    with pytest.raises(ValueError, match=message):
        inputs(opened(LogConfig(str(tmp_path / "log")), small_export(), tmp_path))


@pytest.mark.parametrize("header", [True, False])
def test_text_without_labels(tmp_path: Path, header: bool) -> None:
    """Its header lacks the column, or its lines have one column too few: it is said that labels are missing."""
    schema = SCHEMA if header else dataclasses.replace(SCHEMA, columns=SCHEMA.inputs)
    lines = ["\t".join(SCHEMA.inputs[1:])] * header + ["1\t2\t.5\t3\ta\t14102105"]
    (tmp_path / "log.tsv").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"log\.tsv has no labels \(column 'clicked'\)"):
        opened(LogConfig(str(tmp_path / "log.tsv")), small_export(schema), tmp_path)


def test_a_damaged_file(tmp_path: Path) -> None:
    """What is no Parquet file is refused as such."""
    (tmp_path / "day.parquet").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"day\.parquet: not a whole Parquet file"):
        opened(LogConfig(str(tmp_path / "day.parquet")), small_export(), tmp_path)


def test_a_schema_with_other_roles(tmp_path: Path) -> None:
    """A column that is something else to the model than the schema says is named with both."""
    write_days(tmp_path / "log", random_rows(10, seed=5), days=1)
    for change, said in (
        ({"integer_ids": []}, "column 'user' is a category of text, and a category of whole numbers to the model"),
        ({"integers": ["price"]}, "column 'age' is absent, and a whole number to the model"),
    ):
        (tmp_path / "own.json").write_text(json.dumps({**SCHEMA.to_json(), **change}))
        with pytest.raises(ValueError, match=re.escape(said)):
            opened(LogConfig(str(tmp_path / "log"), schema=str(tmp_path / "own.json")), small_export(), tmp_path)


@pytest.mark.parametrize("settings", [{"path": ""}, {"path": "x", "max_bad_rows": -1}])
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    """A setting that is missing or out of its range is named."""
    with pytest.raises(ValueError, match=r"^data\.(path is empty|max_bad_rows is -1)"):
        LogConfig(**settings)


@pytest.mark.slow
@pytest.mark.parametrize("numbering", ["hash", "vocabulary"])
def test_a_prepared_log(tmp_path: Path, numbering: Literal["hash", "vocabulary"]) -> None:
    """A log that was prepared as the model's was gives the same inputs, unknown and missing values as the raw one, with
    table rows in the place of values; one that was prepared otherwise is refused with what differs."""
    table = random_rows(300, seed=6)
    rows = [["" if value is None else str(value) for value in row.values()] for row in table.to_pylist()]
    (tmp_path / "log.tsv").write_text("\n".join("\t".join(row) for row in [table.column_names, *rows]) + "\n")
    SCHEMA.save(tmp_path / "own.json")
    folder = tmp_path / "prepared"
    least = 1 if numbering == "hash" else 10
    prepare(PrepareConfig(str(tmp_path / "log.tsv"), str(tmp_path / "own.json"), str(folder), numbering, least))
    own = PARQUET.own_schema(str(next(folder.glob("*.parquet"))))
    assert own is not None
    columns = own.categories if numbering == "vocabulary" else ()
    vocabularies = {column: read_vocabulary(str(folder / "vocabulary" / f"{column}.parquet")) for column in columns}
    export = small_export(own, vocabularies, table_rows=(4, 5, 5))
    prepared, raw = LogConfig(str(folder)), LogConfig(str(tmp_path / "log.tsv"))
    log, beside = opened(prepared, export, tmp_path), opened(raw, export, tmp_path)
    for found, wanted in zip(inputs(log), inputs(beside), strict=True):
        assert numpy.array_equal(found, wanted)
    (one,), (other,) = log.pieces(), beside.pieces()
    assert log.is_prepared and not beside.is_prepared
    for column in own.categories:
        assert numpy.array_equal(one.missing[column], other.missing[column])
        assert one.values[column].null_count == int(one.missing[column].sum())
        assert column not in columns or numpy.array_equal(one.unknown[column], other.unknown[column])
    assert not columns or any(found.any() for found in one.unknown.values())
    refused: list[tuple[LogConfig, Exported, str]] = [
        (dataclasses.replace(prepared, schema="criteo"), export, r"data\.schema is 'criteo', but .* says itself"),
        (dataclasses.replace(prepared, max_bad_rows=3), export, r"data\.max_bad_rows is 3, but .* has no lines"),
        (prepared, small_export(own.with_max_rows(4), vocabularies), "is prepared with other table_sizes than"),
        (prepared, small_export(own, {"user": vocabulary_of(KNOWN["user"])}), f"is prepared by {numbering}, and the"),
    ]
    if columns:
        changed = {**vocabularies, "site": vocabulary_of(KNOWN["site"])}
        refused.append(
            (prepared, small_export(own, changed), "is another vocabulary than the model's of column 'site'")
        )
    for config, asked, message in refused:
        with pytest.raises(ValueError, match=message):
            opened(config, asked, tmp_path)
