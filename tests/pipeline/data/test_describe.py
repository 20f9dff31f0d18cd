"""pipeline/data/describe.py: what a log is taken for, proposals that work, and bad logs in one line."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data import DataConfig, open_dataset
from pipeline.data.describe import DescribeConfig, describe, main
from pipeline.data.schema import Schema


def shop(path: Path, rows: int = 400, extra: str = "") -> str:
    """A CSV with a column of every kind."""
    draw = random.Random(0)
    lines = [
        f"{draw.randrange(1000, 1040)},item {draw.randrange(9)},{draw.gauss(0, 9):.2f},{draw.randrange(999)},"
        f"{int(draw.random() < 0.3)},x"
        for _ in range(rows)
    ]
    path.write_text("\n".join(["user,item,balance,views,bought,shop", *lines]) + "\n" + extra)
    return str(path)


def test_generated_data(tmp_path: Path) -> None:
    """The description names rows, label ratio, the best possible loss and tables."""
    text = describe(DescribeConfig(DataConfig(rows=2000, numbering="hash"), folder=str(tmp_path)))
    assert "best possible log loss 0." in text and "train:         1,564 rows" in text
    (line,) = [line for line in text.splitlines() if line.startswith("cat_2 ")]
    assert line.split()[1:4] == ["category,", "text", "20,000"]


def test_a_bare_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One command makes a schema of a CSV that the product then reads; each column has its role and what it holds."""
    path, written = shop(tmp_path / "shop.csv"), tmp_path / "schema.json"
    assert main(["--path", path, "--write", str(written)]) == 0
    text = capsys.readouterr().out
    schema = Schema.load(str(written))
    assert (schema.label, schema.integers, schema.floats) == ("bought", ("views",), ("balance",))
    assert (schema.categories, schema.integer_ids) == (("user", "item"), ("user",))
    assert f"--data.path {path} --data.schema {written} --run mine" in text
    found = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "not read: it holds one value alone" in found["shop"]
    assert "category, whole numbers" in found["user"] and "decimal number" in found["balance"]
    assert "of all 400 rows" in text
    dataset = open_dataset(DataConfig(path=path, schema=str(written)), str(tmp_path / "opened"))
    with dataset.stream("train", 32) as stream:
        batch = next(iter(stream))
    assert batch.dense.shape == (32, 2) and (batch.dense[:, 1] < 0).any()
    assert sum(dataset.rows(split) for split in ("train", "valid", "test")) == 400


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_timestamp(tmp_path: Path, suffix: str) -> None:
    """A bare file with a column of times is proposed to be split by it; that, its role and the cuts are said, and so is
    the line that has no time."""
    path, written = tmp_path / f"shop.{suffix}", tmp_path / "schema.json"
    clicks = [f"2024-05-{1 + row % 28:02}T17:03:{row % 60:02}" for row in range(400)]
    columns = {
        "ts": clicks,
        "item": [f"item {row % 9}" for row in range(400)],
        "bought": [row % 2 for row in range(400)],
    }
    if suffix == "csv":
        path.write_text(
            "ts,item,bought\n" + "".join(f"{a},{b},{c}\n" for a, b, c in zip(*columns.values(), strict=True))
        )
    else:
        pq.write_table(pa.table(columns | {"ts": pa.array(clicks).cast(pa.timestamp("s"))}), path)
    text = describe(DescribeConfig(DataConfig(path=str(path)), write=str(written)))
    assert Schema.load(str(written)).timestamp == "ts"
    (line,) = [line for line in text.splitlines() if line.startswith("ts ")]
    assert line.split()[1] == "timestamp"
    assert "(split by time, column 'ts': 320 rows 2024-05-01 17:03:00 to 2024-05-2" in text
    if suffix == "csv":
        path.write_text(path.read_text() + "soon,item 1,0\n")
        assert f"{path}:402: column 'ts': found 'soon', expected an ISO-8601 date or time" in describe(
            DescribeConfig(DataConfig(path=str(path), schema=str(written)))
        )


def test_capped_tables(tmp_path: Path) -> None:
    """A table that is smaller than the log wants is shown with both sizes, and what that does is said."""
    text = describe(DescribeConfig(DataConfig(path=shop(tmp_path / "shop.csv"), max_table_rows=7)))
    (line,) = [line for line in text.splitlines() if line.startswith("item ")]
    assert "7 (of 11)" in line and "raise --data.max-table-rows" in text


def test_bad_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Values that no row may have are found in every column, not in the label alone: line, column, what to do."""
    path, schema = shop(tmp_path / "shop.csv"), tmp_path / "schema.json"
    assert main(["--path", path, "--write", str(schema)]) == 0
    shop(tmp_path / "shop.csv", extra="1001,item 1,0.5,3.5,0,x\n1001,item 1,0.5,3,2,x\n")
    capsys.readouterr()
    assert main(["--path", path, "--schema", str(schema)]) == 0
    text = capsys.readouterr().out
    assert "2 of 402 lines are not rows of schema" in text and "--max-bad-rows 2" in text
    assert f"{path}:402: column 'views': found '3.5', expected a whole number or nothing" in text
    assert f"{path}:403: column 'bought': found '2', expected 0 or 1" in text
    assert main(["--path", path, "--schema", str(schema), "--max-bad-rows", "2"]) == 0
    assert "train:" in capsys.readouterr().out


def test_parquet(tmp_path: Path) -> None:
    """A log that a run reads as it is needs no proposal; one whose label has another name gets one."""
    columns = {"user": [index % 7 for index in range(90)], "price": [index / 3 for index in range(90)]}
    label = [index % 3 // 2 for index in range(90)]
    for name in ("label", "click"):
        pq.write_table(pa.table({name: label, **columns}), tmp_path / f"{name}.parquet")
    assert "proposed" not in describe(DescribeConfig(DataConfig(path=str(tmp_path / "label.parquet"))))
    assert "proposed" in describe(DescribeConfig(DataConfig(path=str(tmp_path / "click.parquet"))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--path", "{folder}/none.csv"], "does not exist; give a file"),
        (["--write", "{folder}/schema.json"], "write is for the schema of a data.path"),
        (["--path", "{folder}/shop.csv", "--schema", "avazu", "--label", "bought"], "label is for a schema that is"),
        (["--path", "{folder}/shop.csv", "--schema", "avazu"], "shop.csv:1: the header names column 'click' 0 times"),
        (["--path", "{folder}/shop.csv", "--label", "sold"], "label 'sold' is no column"),
        (["--path", "{folder}/empty.csv"], "empty.csv: the file is empty"),
    ],
)
def test_one_line_for_an_error(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with the command or the log is one line, with exit code 1."""
    shop(tmp_path / "shop.csv")
    (tmp_path / "empty.csv").write_text("")
    assert main([argument.format(folder=tmp_path) for argument in arguments]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("pipeline.data.describe: ") and message in line


@pytest.mark.parametrize("extra", [0, 9], ids=["few columns", "many columns"])
def test_lists_in_a_file_without_a_header(tmp_path: Path, extra: int) -> None:
    """The lengths and the most frequent value of a list are shown by the schema's separator."""
    others = tuple(f"x{number}" for number in range(extra))
    rows = [("1" if row % 3 else "0", "g1;g2" if row % 2 else "g1", *(["7"] * extra)) for row in range(100)]
    (tmp_path / "log.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    columns = ("y", "genres", *others)
    schema = Schema("log", "y", others, ("genres",), (9,), columns=columns, lists=("genres",), list_separator=";")
    schema.save(tmp_path / "schema.json")
    data = DataConfig(path=str(tmp_path / "log.tsv"), schema=str(tmp_path / "schema.json"))
    (line,) = [line for line in describe(DescribeConfig(data)).splitlines() if line.startswith("genres ")]
    assert "list of text, 64 kept" in line and "1.5 values a row, up to 2" in line and "g1 " in line
