"""pipeline/data/extended_vocabularies.py: old values keep their rows, frequent new ones have rows behind them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data import DataConfig, Dataset, open_dataset
from pipeline.data.extended_vocabularies import EARLIER
from pipeline.data.numbered_as import NumberedAs, begin_numbered_as
from pipeline.data.schema import Schema
from pipeline.data.vocabularies import FOLDER

SCHEMA = Schema("shop", "label", (), ("user", "item"), (100, 100), integer_ids=("item",))
OLD, NEW = [f"u{n % 7}" for n in range(200)], [f"u{n % 7 if n % 3 else n % 30}" for n in range(400)]


def write(folder: Path, users: list[str]) -> DataConfig:
    """A log of these users in train, valid and test files, and the settings that count its values."""
    folder.mkdir()
    for name, own in (("train", users), ("valid", ["v1", *users[:9]]), ("test", users[:10])):
        columns = {"label": [n % 2 for n in range(len(own))], "user": own, "item": [n % 5 for n in range(len(own))]}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=70)
    SCHEMA.save(folder / "schema.json")
    return DataConfig(path=str(folder))


def rows_of(dataset: Dataset, config: DataConfig, split: str) -> dict[str, int]:
    """The table row of each user of a split."""
    users = pq.read_table(f"{config.path}/{split}.parquet")["user"].to_pylist()
    (batch,) = dataset.stream(split, len(users), drop_last=False)
    return dict(zip(users, batch.ids[:, 0].tolist(), strict=True))


def newer(tmp_path: Path, home: str = "newer_home", **changes: Any) -> tuple[Dataset, DataConfig]:
    """The newer log, numbered as the older one and extended."""
    old_home = tmp_path / "old_home"
    if not (tmp_path / "old").exists():
        write(tmp_path / "old", OLD)
        write(tmp_path / "newer", NEW)
    old = open_dataset(DataConfig(path=str(tmp_path / "old"), numbering="vocabulary"), str(old_home))
    begin_numbered_as(NumberedAs("the older run", old.schema, old.numbering), old_home, tmp_path / home)
    config = DataConfig(path=str(tmp_path / "newer"), **changes)
    return open_dataset(config, str(tmp_path / home)), config


@pytest.mark.parametrize(("least", "most"), [(1, 1_000_000), (5, 1_000_000), (1, 12)])
def test_new_values(tmp_path: Path, least: int, most: int) -> None:
    """Those that enough training rows hold have rows behind the last old one, by falling count and as long as there is
    room; the rest, and what only validation rows hold, stay row 1. Old values have the rows that they had."""
    dataset, config = newer(tmp_path, min_count=least, max_table_rows=most)
    old = open_dataset(DataConfig(path=str(tmp_path / "old"), numbering="vocabulary"), str(tmp_path / "old_home"))
    known = rows_of(old, DataConfig(path=str(tmp_path / "old")), "train")
    found, counts = rows_of(dataset, config, "train"), Counter(NEW)
    assert all(found[user] == row for user, row in known.items() if user in found)
    frequent = sorted(
        (user for user in counts.keys() - known.keys() if counts[user] >= least), key=lambda u: (-counts[u], u)
    )
    room = most - old.schema.table_sizes[0]
    expected = {user: old.schema.table_sizes[0] + place for place, user in enumerate(frequent[:room])}
    assert {user: row for user, row in found.items() if user not in known and row != 1} == expected and expected
    assert rows_of(dataset, config, "valid")["v1"] == 1
    assert dataset.schema.table_sizes == (old.schema.table_sizes[0] + len(expected), old.schema.table_sizes[1])
    assert dataset.capped_tables == (
        {"t_user": (old.schema.table_sizes[0] + len(frequent), most)} if most == 12 else {}
    )
    (described,) = [path for name, path in dataset.numbering["vocabulary_files"].items() if name == "user"]
    listed = pq.read_table(tmp_path / "newer_home" / Path(described).relative_to("newer_home"))
    assert listed["row"].to_pylist() == list(range(2, dataset.schema.table_sizes[0]))


def test_found_again_and_made_again(tmp_path: Path) -> None:
    """The second time nothing is counted; a process that was killed before the sizes were written left nothing that
    counts, and the same files come of it."""
    newer(tmp_path)
    folder = tmp_path / "newer_home" / FOLDER
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("*.parquet")}
    newer(tmp_path)
    assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("*.parquet")}
    (folder / "sizes.json").unlink()
    (folder / "user.parquet").write_bytes(b"half")
    newer(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.glob("*.parquet")} == {n: b for n, (b, _) in before.items()}
    assert json.loads((folder / "sizes.json").read_text())["settings"]["extends"] == EARLIER


def test_a_log_of_old_values_alone(tmp_path: Path) -> None:
    """Nothing grows where the older log is read again."""
    newer(tmp_path)
    old = open_dataset(DataConfig(path=str(tmp_path / "old"), numbering="vocabulary"), str(tmp_path / "old_home"))
    begin_numbered_as(NumberedAs("it", old.schema, old.numbering), tmp_path / "old_home", tmp_path / "same")
    same = open_dataset(DataConfig(path=str(tmp_path / "old")), str(tmp_path / "same"))
    assert same.schema.table_sizes == old.schema.table_sizes
    for split in ("train", "valid", "test"):
        config = DataConfig(path=str(tmp_path / "old"))
        assert rows_of(same, config, split) == rows_of(old, config, split)
