"""pipeline/data/numbering.py: a server that follows the written rules, and nothing else, finds the trained ids."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.data import DataConfig, open_dataset
from pipeline.data.formats.features import text_hash
from pipeline.data.prepare.prepare import PrepareConfig, prepare

SCHEMA = {
    "name": "shop",
    "label": "bought",
    "integers": ["price"],
    "categories": ["user", "item", "hour"],
    "table_sizes": [40, 30, 25],
    "integer_ids": ["item"],
    "hours": ["hour"],
}


def raw_rows(folder: Path, rows: int = 600) -> tuple[list[dict[str, str]], str]:
    """A log with missing and rare values, written as CSV, and its schema's file."""
    draws = np.random.default_rng(0)
    made = []
    for row in range(rows):
        values: dict[str, int | str] = {"bought": row % 2, "price": row}  # the price numbers the rows
        values["user"] = "" if draws.random() < 0.1 else f"u{draws.zipf(1.5) % 90}"
        values["item"] = "" if draws.random() < 0.1 else int(draws.zipf(1.5) % 70)
        values["hour"] = 14102100 + int(draws.integers(24))
        made.append({name: str(value) for name, value in values.items()})
    folder.mkdir(exist_ok=True)
    with (folder / "log.tsv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(made[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(made)
    (folder / "shop.json").write_text(json.dumps(SCHEMA))
    return made, str(folder / "shop.json")


def served_row(rules: dict[str, Any], table_rows: int, column: str, text: str, run: Path) -> int:
    """What a server that has read `numbering` in a run's model.json makes of a value, in plain Python."""
    if text == "":
        return int(rules["missing_category_row"])
    value = int(text) % 100 if column == "hour" else text
    size = rules["table_sizes"][column]
    if column in rules.get("vocabulary_files", {}):
        file = pq.read_table(run / rules["vocabulary_files"][column]).to_pydict()
        rows = {str(key): row for key, row in zip(file["value"], file["row"], strict=True)}
        row = rows.get(str(value), rules["unknown_category_row"])
    elif column == "hour":
        assert rules["hour_row"] == "1 + (v mod 100) mod (table_size - 1), v = YYMMDDHH"
        row = 1 + int(value) % (size - 1)
    elif column == "user":
        row = 1 + text_hash(text) % (size - 1)
    else:
        row = 1 + int(value) % (size - 1)
    if table_rows < size and row:
        row = 1 + (row - 1) % (table_rows - 1)
    return int(row)


@pytest.mark.parametrize("max_table_rows", [2**31 - 1, 11])
@pytest.mark.parametrize("kind", ["raw", "raw by vocabulary", "raw by default", "hash", "vocabulary"])
@pytest.mark.slow
def test_a_server_finds_the_trained_ids(tmp_path: Path, kind: str, max_table_rows: int) -> None:
    """For raw logs and prepared ones of both numberings, in tables of full size and in smaller ones."""
    rows, schema = raw_rows(tmp_path / "raw")
    data = DataConfig(path=str(tmp_path / "raw" / "log.tsv"), schema=schema, max_table_rows=max_table_rows)
    if kind.startswith("raw"):
        numbering: Any = {"raw": "hash", "raw by vocabulary": "vocabulary", "raw by default": "auto"}[kind]
        data = dataclasses.replace(data, numbering=numbering, min_count=3 if kind == "raw by vocabulary" else 1)
    else:
        least = {"min_count": 3} if kind == "vocabulary" else {}
        prepare(PrepareConfig(data.path, schema, str(tmp_path / "made"), kind, processes=1, **least))  # type: ignore[arg-type]
        data = DataConfig(path=str(tmp_path / "made"), max_table_rows=max_table_rows)
    dataset = open_dataset(data, str(tmp_path / "home"))
    rules = json.loads(json.dumps(dataset.numbering))
    assert rules["kind"] == ("hash" if kind in ("raw", "hash") else "vocabulary")
    assert len(rules.get("vocabulary_files", ())) == (
        0 if kind in ("raw", "hash") else 3 if kind != "raw by default" else 1 + (max_table_rows == 11)
    )
    sizes = dict(zip(dataset.schema.categories, dataset.schema.table_sizes, strict=True))
    seen = 0
    for split in ("train", "valid", "test"):
        for batch in dataset.stream(split, 64):
            prices = np.rint(np.expm1(batch.dense[:, 0].numpy())).astype(int)
            for price, ids in zip(prices, batch.ids.tolist(), strict=True):
                raw = rows[price]
                own = [served_row(rules, sizes[name], name, raw[name], tmp_path) for name in dataset.schema.categories]
                assert ids == own
                seen += 1
    assert seen > len(rows) - 64  # the train split leaves its last, unfilled batch out
