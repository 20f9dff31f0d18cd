"""pipeline/data/dataset.py: click logs of every kind opened, split and streamed; bad ones refused with the reason."""

import dataclasses
import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data import DataConfig, Schema, open_dataset
from pipeline.data.dataset import QUARANTINE, SPLITS, Dataset
from pipeline.data.formats.features import category_rows

ROOT = Path(__file__).parents[3]
REAL = ROOT.parent / "shared" / "data"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real data (../shared/data) are absent")


def write_parquet(path: Path, first: int, rows: int, **changes: Any) -> None:
    """Rows numbered from `first`."""
    numbers = np.arange(first, first + rows)
    columns = {"label": numbers % 2, "row": numbers, "word": [f"w{n % 5}" for n in numbers], **changes}
    pq.write_table(pa.table(columns), path, row_group_size=97)


def delivered(dataset: Dataset, split: str, column: int = 0) -> list[int]:
    """The ids of one column that a pass over the split gives."""
    with dataset.stream(split, 64, drop_last=False) as stream:
        return [value for batch in stream for value in batch.ids[:, column].tolist()]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The embedded default, shortened."""
    return open_dataset(DataConfig(rows=20_000, days=2), str(tmp_path_factory.mktemp("data")))


def test_embedded_default(generated: Dataset) -> None:
    """Criteo's shapes, 80/10/10, a base rate near a quarter, ids within tables that no cap touches."""
    assert sum(generated.rows(split) for split in SPLITS) == 20_000
    assert generated.rows("train") == pytest.approx(16_000, abs=250)
    assert generated.rows("valid") == pytest.approx(2_000, abs=180)
    assert generated.label_ratio("train") == pytest.approx(0.25, abs=0.02)
    assert generated.numbering["kind"] == "vocabulary" and not generated.capped_tables
    with generated.stream("train", 512, shuffle_seed=0) as stream:
        batch = next(stream)
    assert batch.dense.shape == (512, 13)
    assert batch.ids.shape == (512, 26)
    assert (batch.ids >= 0).all()
    assert all(batch.ids[:, j].max() < size for j, size in enumerate(generated.schema.table_sizes))


def test_oracle_log_loss(generated: Dataset) -> None:
    """The oracle's log loss agrees with the entropy of the planted probabilities, and beats the base rate's."""
    for split in SPLITS:
        oracle = generated.oracle_log_loss(split)
        ratio = generated.label_ratio(split)
        assert oracle is not None
        assert 0.3 < oracle < 0.9 * -(ratio * np.log(ratio) + (1 - ratio) * np.log(1 - ratio))


def test_oracle_by_hand(tmp_path: Path) -> None:
    """On known probabilities: the mean log loss of each split's own rows; None without the column."""
    probability = np.random.Generator(np.random.PCG64(0)).uniform(0.1, 0.9, 1000)
    write_parquet(tmp_path / "log.parquet", 0, 1000, planted_probability=probability)
    dataset = open_dataset(DataConfig(path=str(tmp_path / "log.parquet")), str(tmp_path / "out"))
    for split in SPLITS:
        rows = np.array(delivered(dataset, split)) - 1
        p = np.where(rows % 2 == 1, probability[rows], 1 - probability[rows])
        assert dataset.oracle_log_loss(split) == pytest.approx(-np.log(p).mean(), rel=1e-12)
        assert dataset.label_ratio(split) == pytest.approx((rows % 2).mean())
    write_parquet(tmp_path / "plain.parquet", 0, 1000)
    plain = open_dataset(DataConfig(path=str(tmp_path / "plain.parquet")), str(tmp_path / "out"))
    assert plain.oracle_log_loss("test") is None


def test_split_by_row(tmp_path: Path) -> None:
    """The three splits share no row, miss none, and are spread evenly; files and row groups do not matter."""
    write_parquet(tmp_path / "a.parquet", 0, 3000)
    write_parquet(tmp_path / "b.parquet", 3000, 2000)
    dataset = open_dataset(DataConfig(path=str(tmp_path)), str(tmp_path / "out"))
    ids = {split: delivered(dataset, split) for split in SPLITS}
    assert sorted(ids["train"] + ids["valid"] + ids["test"]) == list(range(1, 5001))
    for split in ("valid", "test"):
        assert len(ids[split]) == pytest.approx(500, abs=100)
        assert np.mean(ids[split]) == pytest.approx(2500, abs=300)
    write_parquet(tmp_path / "one.parquet", 0, 5000)
    one = open_dataset(DataConfig(path=str(tmp_path / "one.parquet")), str(tmp_path / "out"))
    assert {split: delivered(one, split) for split in SPLITS} == ids


def test_split_by_file_names(tmp_path: Path) -> None:
    """Files named train, valid and test are the splits, whole."""
    for first, rows, name in ((0, 300, "train_0"), (300, 200, "train_1"), (500, 100, "valid"), (600, 50, "test")):
        write_parquet(tmp_path / f"{name}.parquet", first, rows)
    dataset = open_dataset(DataConfig(path=str(tmp_path)), str(tmp_path / "out"))
    assert delivered(dataset, "train") == list(range(1, 501))
    assert delivered(dataset, "valid") == list(range(501, 601))
    assert delivered(dataset, "test") == list(range(601, 651))


def test_some_splits_only(tmp_path: Path) -> None:
    """Names that speak of train and test, but not of valid, are refused rather than mixed."""
    for name in ("train", "test"):
        write_parquet(tmp_path / f"{name}.parquet", 0, 100)
    with pytest.raises(ValueError, match=r"speak of some splits only.*test\.parquet"):
        open_dataset(DataConfig(path=str(tmp_path)), str(tmp_path / "out"))


@pytest.mark.parametrize("kind", ["parquet", "tsv.gz"])
def test_split_by_day(tmp_path: Path, kind: str) -> None:
    """mlperf_days: all days but the last, then the last's halves, the first the larger; days in number order."""
    first = 0
    for day, rows in ((9, 300), (10, 200), (11, 101)):
        path = tmp_path / f"day_{day}.{kind}"
        if kind == "parquet":
            write_parquet(path, first, rows)
        else:
            path.write_bytes(gzip.compress("".join(f"{n % 2}\t{n}\n" for n in range(first, first + rows)).encode()))
        first += rows
    Schema("log", "label", (), ("row",), (10_000,), integer_ids=("row",), columns=("label", "row")).save(
        tmp_path / "schema.json"
    )
    dataset = open_dataset(DataConfig(path=str(tmp_path), split="mlperf_days"), str(tmp_path / "out"))
    assert delivered(dataset, "train") == list(range(1, 501))
    assert delivered(dataset, "valid") == list(range(501, 552))
    assert delivered(dataset, "test") == list(range(552, 602))
    for split in SPLITS:
        with dataset.stream(split, 20, shuffle_seed=0, drop_last=False) as stream:
            assert sorted(row for batch in stream for row in batch.ids[:, 0].tolist()) == delivered(dataset, split)
    assert dataset.label_ratio("valid") == pytest.approx(25 / 51)


def test_splits_that_do_not_fit(tmp_path: Path) -> None:
    """mlperf_days needs numbered days without gaps; file_names needs the names; random_80_10_10 looks at none."""
    out = str(tmp_path / "out")
    write_parquet(tmp_path / "day_0.parquet", 0, 100)
    config = DataConfig(path=str(tmp_path), split="mlperf_days")
    with pytest.raises(ValueError, match="there is only day 0"):
        open_dataset(config, out)
    write_parquet(tmp_path / "day_3.parquet", 100, 100)
    with pytest.raises(ValueError, match=r"the days \[1, 2\] .* are missing"):
        open_dataset(config, out)
    with pytest.raises(ValueError, match="file names speak of some splits only"):
        open_dataset(DataConfig(path=str(tmp_path), split="file_names"), out)
    write_parquet(tmp_path / "train.parquet", 200, 100)
    with pytest.raises(ValueError, match=r"train.parquet: its name says no day"):
        open_dataset(config, out)
    dataset = open_dataset(DataConfig(path=str(tmp_path), split="random_80_10_10"), out)
    assert sum(dataset.rows(split) for split in SPLITS) == 300


def test_split_files_with_different_columns(tmp_path: Path) -> None:
    """The three split files must have the same columns."""
    for name in ("train", "valid"):
        write_parquet(tmp_path / f"{name}.parquet", 0, 100)
    write_parquet(tmp_path / "test.parquet", 0, 100, extra=[1] * 100)
    with pytest.raises(ValueError, match=r"its columns differ from .*test.parquet in .*extra"):
        open_dataset(DataConfig(path=str(tmp_path)), str(tmp_path / "out"))


def test_empty_split(tmp_path: Path) -> None:
    """So few rows that a split is empty are refused."""
    write_parquet(tmp_path / "log.parquet", 0, 3)
    with pytest.raises(ValueError, match=r"split '\w+' has no rows"):
        open_dataset(DataConfig(path=str(tmp_path / "log.parquet")), str(tmp_path / "out"))


def criteo_lines(rows: int) -> list[str]:
    """Criteo rows made here."""
    return ["\t".join([str(n % 2), *["" if n % 3 else str(n)] * 13, *[f"{n * 7:08x}"] * 26]) for n in range(rows)]


def test_text_is_opened_like_parquet(tmp_path: Path) -> None:
    """A Criteo .tsv.gz streams the ids that its texts hash to; a file emptied since is refused."""
    path = tmp_path / "log.tsv.gz"
    path.write_bytes(gzip.compress("".join(line + "\n" for line in criteo_lines(400)).encode()))
    config = DataConfig(path=str(path), schema="criteo", numbering="hash")
    dataset = open_dataset(config, str(tmp_path / "out"))
    size = dataset.schema.table_sizes[2]
    expected = category_rows(pa.array([f"{n * 7:08x}" for n in range(400)]), size)
    found = sorted(value for split in SPLITS for value in delivered(dataset, split, column=2))
    assert found == sorted(expected.tolist())
    path.unlink()
    path.touch()
    with pytest.raises(ValueError, match=r"log.tsv.gz: the file is empty"):
        open_dataset(config, str(tmp_path / "out"))


def test_schema_beside_the_files(tmp_path: Path) -> None:
    """schema.json in the folder says what the columns mean; an explicit schema goes first."""
    (tmp_path / "log.csv").write_text("y,who\n" + "".join(f"{n % 2},{n}\n" for n in range(200)))
    Schema("shop", "y", (), ("who",), (300,), integer_ids=("who",), delimiter=",").save(tmp_path / "schema.json")
    dataset = open_dataset(DataConfig(path=str(tmp_path)), str(tmp_path / "out"))
    assert dataset.schema.name == "shop"
    assert sorted(value for split in SPLITS for value in delivered(dataset, split)) == list(range(1, 201))
    with pytest.raises(ValueError, match=r"log.csv:1: the header names column 'click' 0 times"):
        open_dataset(DataConfig(path=str(tmp_path), schema="avazu"), str(tmp_path / "out"))


def test_refusals(tmp_path: Path) -> None:
    """Paths that are missing, empty, mixed or unexplained are told apart."""
    out = str(tmp_path / "out")
    with pytest.raises(ValueError, match="does not exist"):
        open_dataset(DataConfig(path=str(tmp_path / "no")), out)
    with pytest.raises(ValueError, match="without click logs"):
        open_dataset(DataConfig(path=str(tmp_path)), out)
    (tmp_path / "log.tsv").write_text("\n".join(criteo_lines(3)))
    with pytest.raises(ValueError, match=r"data.schema is empty and .* holds text"):
        open_dataset(DataConfig(path=str(tmp_path)), out)
    write_parquet(tmp_path / "log.parquet", 0, 10)
    with pytest.raises(ValueError, match="holds both Parquet and text"):
        open_dataset(DataConfig(path=str(tmp_path), schema="criteo"), out)
    with pytest.raises(ValueError, match="generated data are criteo's"):
        open_dataset(DataConfig(schema="avazu"), out)


def test_unknown_split(generated: Dataset) -> None:
    """A split that is not one of the three is refused."""
    with pytest.raises(ValueError, match="'holdout' is unknown"):
        generated.stream("holdout", 10)


def test_more_ranks_than_rows(tmp_path: Path) -> None:
    """More ranks than rows of a split is an error, not a hang."""
    write_parquet(tmp_path / "log.parquet", 0, 60)
    dataset = open_dataset(DataConfig(path=str(tmp_path / "log.parquet")), str(tmp_path / "out"))
    with pytest.raises(ValueError, match="more ranks than rows: split 'valid'"):
        dataset.stream("valid", 4, rank=0, world_size=50)


def test_train_drops_and_the_others_do_not(generated: Dataset) -> None:
    """By default the train split has full batches only; validation and test deliver every row."""
    for split in SPLITS:
        sizes = [batch.num_rows for batch in generated.stream(split, 999)]
        expected = generated.rows(split) // 999 * 999 if split == "train" else generated.rows(split)
        assert sum(sizes) == expected


@pytest.mark.slow
def test_ranks_open_at_once(ready: Any, tmp_path: Path) -> None:
    """Two processes that open the same settings at the same moment get the same, whole data."""
    code = (
        "import sys; from pipeline.data import DataConfig, open_dataset\n"
        "d = open_dataset(DataConfig(rows=5000), sys.argv[1]); print([d.rows(s) for s in ('train', 'valid', 'test')])"
    )
    first, second = ready.run([(code, [str(tmp_path)], os.environ)] * 2)
    assert first.stdout == second.stdout != "", first.stderr + second.stderr
    assert first.returncode == second.returncode == 0


BAD_LINES = {"train": [3, 7], "valid": [1], "test": []}


def write_splits_with_bad_lines(folder: Path) -> None:
    """Files named train, valid and test; some of their lines are no rows."""
    folder.mkdir()
    for first, (split, bad) in zip((0, 100, 200), BAD_LINES.items(), strict=True):
        lines = [f"{n % 2}\t{first + n}" for n in range(60)]
        for number in bad:
            lines[number - 1] = "no row"
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    Schema("log", "label", (), ("row",), (10_000,), integer_ids=("row",), columns=("label", "row")).save(
        folder / "schema.json"
    )


def test_bad_lines_are_set_aside(tmp_path: Path) -> None:
    """Up to max_bad_rows lines of all splits together go to quarantine.jsonl; ranks and resumed runs deliver the other
    rows once. One line more is refused, and without the setting the stream ends at the line."""
    write_splits_with_bad_lines(tmp_path / "log")
    config = DataConfig(path=str(tmp_path / "log"), max_bad_rows=3)
    dataset = open_dataset(config, str(tmp_path / "out"))
    quarantined = [json.loads(line) for line in (tmp_path / "out" / QUARANTINE).read_text().splitlines()]
    assert [(Path(bad["file"]).stem, bad["line"]) for bad in quarantined] == [("train", 3), ("train", 7), ("valid", 1)]
    expected = [1 + n for n in range(60) if n + 1 not in BAD_LINES["train"]]
    assert delivered(dataset, "train") == expected
    assert delivered(dataset, "valid") == list(range(102, 161))
    assert dataset.label_ratio("valid") == pytest.approx(30 / 59)
    streams = [dataset.stream("train", 4, rank, 2, shuffle_seed=1, drop_last=False) for rank in range(2)]
    rows = [row for _ in range(3) for stream in streams for row in next(stream).ids[:, 0].tolist()]
    again = open_dataset(config, str(tmp_path / "out")).stream("train", 5, shuffle_seed=1, drop_last=False)
    again.load_state_dict(json.loads(json.dumps(streams[1].state_dict())))
    for stream in streams:
        stream.close()
    assert sorted(rows + [row for batch in again for row in batch.ids[:, 0].tolist()]) == expected
    for allowed in (1, 2):
        with pytest.raises(ValueError, match=r"(?s)more than data.max_bad_rows = .*train.tsv:3: found 1 columns"):
            open_dataset(dataclasses.replace(config, max_bad_rows=allowed), str(tmp_path / f"out_{allowed}"))
    strict = open_dataset(dataclasses.replace(config, max_bad_rows=0), str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"train.tsv:3: found 1 columns, expected 2; repair .* data.max_bad_rows"):
        delivered(strict, "train")


def test_bad_lines_of_what_has_none(tmp_path: Path) -> None:
    """Parquet and generated data have no lines: the setting is refused, not ignored."""
    write_parquet(tmp_path / "log.parquet", 0, 100)
    with pytest.raises(ValueError, match=r"data.max_bad_rows is 2, but .*log.parquet is Parquet"):
        open_dataset(DataConfig(path=str(tmp_path / "log.parquet"), max_bad_rows=2), str(tmp_path / "out"))


@needs_real_data
@pytest.mark.parametrize(
    "path, schema, rows, ratio",
    [
        ("frappe", "", 288_609, 0.333),
        ("criteo/kaggle_8000.tsv.gz", "criteo", 8_000, 0.216),
        ("criteo/terabyte_1000.tsv.gz", "criteo", 1_000, 0.021),
        ("criteo/terabyte_1000.tsv.gz", "criteo_terabyte", 1_000, 0.021),
        ("avazu/avazu_9000.csv.gz", "avazu", 8_999, 0.174),
    ],
)
def test_real_data(tmp_path: Path, path: str, schema: str, rows: int, ratio: float) -> None:
    """The real logs open, deliver every row once, and have the label ratio their README states."""
    dataset = open_dataset(DataConfig(path=str(REAL / path), schema=schema), str(tmp_path))
    clicks, seen = 0.0, 0
    for split in SPLITS:
        with dataset.stream(split, 4096, drop_last=False) as stream:
            for batch in stream:
                clicks += float(batch.label.sum())
                seen += batch.num_rows
                assert all(batch.ids[:, j].max() < size for j, size in enumerate(dataset.schema.table_sizes))
    assert seen == rows
    assert clicks / seen == pytest.approx(ratio, abs=0.0006)
