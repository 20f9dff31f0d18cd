"""Labels of one class only are found when a log is opened (`Dataset.check_labels`), soon where there are both."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data import DataConfig, Schema, open_dataset
from pipeline.data.dataset import Dataset


def write_parquet(path: Path, labels: list[int]) -> None:
    """Rows with these labels, in several row groups."""
    pq.write_table(pa.table({"label": labels, "row": np.arange(len(labels))}), path, row_group_size=97)


def count_units_read(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The units of the reader of the train split whose columns are read from now on."""
    reader, read = dataset._split("train").reader, []
    real = reader.columns

    def columns(unit: int, names: list[str]) -> pa.Table:
        read.append(unit)
        return real(unit, names)

    monkeypatch.setattr(reader, "columns", columns)
    return read


def test_both_labels_are_soon_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One unit a split is read, and the log is found good."""
    write_parquet(tmp_path / "log.parquet", [n % 2 for n in range(5000)])
    dataset = open_dataset(DataConfig(path=str(tmp_path / "log.parquet")), str(tmp_path / "out"))
    read = count_units_read(dataset, monkeypatch)
    dataset.check_labels()
    assert read == [0, 0]


@pytest.mark.parametrize("kind", ["parquet", "tsv"])
@pytest.mark.parametrize(("split", "label"), [("train", 0), ("train", 1), ("valid", 0), ("valid", 1)])
def test_one_label_only(tmp_path: Path, kind: str, split: str, label: int) -> None:
    """A train or valid split of one class is refused, naming the split and the column; the other label in its very
    last row is enough, and test rows of one class are no reason."""

    def write(name: str, labels: list[int]) -> None:
        path = tmp_path / f"{name}.{kind}"
        if kind == "parquet":
            write_parquet(path, labels)
        else:
            path.write_text("".join(f"{value}\t{n}\n" for n, value in enumerate(labels)))

    schema = Schema("log", "label", (), ("row",), (10_000,), integer_ids=("row",), columns=("label", "row"))
    schema.save(tmp_path / "schema.json")
    for name in ("train", "valid"):
        write(name, [n % 2 for n in range(300)])
    write("test", [1] * 300)
    config = DataConfig(path=str(tmp_path))
    open_dataset(config, str(tmp_path / "out")).check_labels()
    write(split, [label] * 299 + [1 - label])
    open_dataset(config, str(tmp_path / "out")).check_labels()
    write(split, [label] * 300)
    with pytest.raises(ValueError, match=rf"split '{split}': the label, column 'label', is {label} in each of its 300"):
        open_dataset(config, str(tmp_path / "out")).check_labels()
