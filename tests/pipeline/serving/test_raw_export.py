"""pipeline/serving/raw_export.py: an encoder is written only where it does what training did."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from pipeline.data import DataConfig, Dataset, open_dataset
from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.prepare.prepare import prepare
from pipeline.data.schema import BUILT_IN
from pipeline.data.splits import SPLITS
from pipeline.run.records.codec import to_plain
from pipeline.run.records.model_card import RawRowsCard
from pipeline.serving.raw_export import CODE, EXAMPLES, VOCABULARY, examples, is_written, write_encoder
from pipeline.serving.raw_rows import RawRows


class Answer(nn.Module):
    """A model whose answer says what it was given."""

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """[B]."""
        return dense.sum(1) + ids.sum(1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A generated log, numbered by vocabularies, in a run's folder."""
    home = tmp_path_factory.mktemp("run") / "data"
    return open_dataset(DataConfig(rows=2_000), str(home))


def home_of(dataset: Dataset) -> Path:
    """The run's folder."""
    (path,) = {Path(unit.path).parents[2] for unit in dataset._splits["train"].reader.units}
    return path


def encoder_of(dataset: Dataset, card: RawRowsCard, folder: Path) -> RawRows:
    """The encoder that a model.json with this card would give."""
    inputs: list[dict[str, Any]] = [{}, {"table_rows": list(dataset.schema.table_sizes)}]
    document = {"schema": dataset.schema.to_json(), "numbering": dataset.numbering, "inputs": inputs}
    return RawRows({**document, "raw_rows": to_plain(card)}, folder)


def test_examples_are_test_rows(dataset: Dataset) -> None:
    """The first raw test rows with what the stream makes of them and what the model answers."""
    folder = home_of(dataset)
    card = write_encoder(folder, dataset.numbering)
    found = examples(encoder_of(dataset, card, folder), dataset, Answer())
    with dataset.stream("test", EXAMPLES) as stream:
        batch = next(stream)
    assert [list(one.ids) for one in found] == batch.ids.tolist() and len(found) == EXAMPLES
    torch.testing.assert_close(torch.tensor([one.dense for one in found]), batch.dense)
    torch.testing.assert_close(torch.tensor([one.probability for one in found]), Answer()(batch.dense, batch.ids))
    assert [one.row for one in found] == dataset.raw_rows("test", EXAMPLES)


def test_an_encoder_that_differs_is_refused(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the encoder finds other rows than training did, or refuses one, nothing is exported."""
    folder = home_of(dataset)
    encoder = encoder_of(dataset, write_encoder(folder, dataset.numbering), folder)
    raw = dataset.raw_rows("test", 10)
    monkeypatch.setattr(dataset, "raw_rows", lambda *_: [*raw[:7], {**raw[7], "cat_0": "other"}, *raw[8:]])
    with pytest.raises(RuntimeError, match="does not encode test row 7 as training did"):
        examples(encoder, dataset, Answer())
    monkeypatch.setattr(dataset, "raw_rows", lambda *_: [{**raw[0], "int_0": "many"}, *raw[1:]])
    with pytest.raises(RuntimeError, match="refuses test row 0: column 'int_0': found 'many'"):
        examples(encoder, dataset, Answer())


def test_files_that_changed(dataset: Dataset) -> None:
    """A file that is gone or other than described is noticed."""
    folder = home_of(dataset)
    card = write_encoder(folder, dataset.numbering)
    assert is_written(folder, card) and not is_written(folder, None)
    for name in (CODE, VOCABULARY):
        contents = (folder / name).read_bytes()
        (folder / name).write_bytes(contents[:-1])
        assert not is_written(folder, card)
        (folder / name).unlink()
        assert not is_written(folder, card)
        (folder / name).write_bytes(contents)
    assert is_written(folder, card)


def test_a_vocabulary_that_is_gone(dataset: Dataset) -> None:
    """Without the file that numbered a column there is no encoder, and the error names it."""
    files = dict.fromkeys(dataset.numbering["vocabulary_files"], "data/vocabulary/none.parquet")
    with pytest.raises(ValueError, match=r"none\.parquet: the log is numbered by this vocabulary; put it back"):
        write_encoder(home_of(dataset), {**dataset.numbering, "vocabulary_files": files})


@pytest.mark.parametrize("numbering", ["hash", "vocabulary"])
def test_a_prepared_log(dataset: Dataset, tmp_path: Path, numbering: Literal["hash", "vocabulary"]) -> None:
    """A prepared log has no raw rows to try; the encoder numbers those of the log that it was made of as it does."""
    raw = [{**row, "label": number % 2} for number, row in enumerate(dataset.raw_rows("train", 500))]
    columns = BUILT_IN["criteo"].columns
    lines = ["\t".join("" if row[name] is None else str(row[name]) for name in columns) for row in raw]
    (tmp_path / "log.tsv").write_text("\n".join(lines) + "\n")
    folder, home = tmp_path / "prepared", tmp_path / "run" / "data"
    prepare(PrepareConfig(str(tmp_path / "log.tsv"), "criteo", str(folder), numbering, max_table_rows=300))
    made = open_dataset(DataConfig(path=str(folder)), str(home))
    assert made.raw_rows("test", 10) == []
    home.parent.mkdir(exist_ok=True)
    card = write_encoder(home.parent, made.numbering)
    encoder = encoder_of(made, card, home.parent)
    assert examples(encoder, made, Answer()) == ()
    _, ids, errors = encoder.encode_all(raw)
    streamed = [
        own for split in SPLITS for batch in made.stream(split, 10, drop_last=False) for own in batch.ids.tolist()
    ]
    assert errors == {} and sorted(ids) == sorted(streamed)


def test_a_card_without_examples_is_complete(dataset: Dataset) -> None:
    """What is written says how many values each vocabulary has, and has no examples yet."""
    card = write_encoder(home_of(dataset), dataset.numbering)
    assert card.examples == () and dataclasses.replace(card, examples=()) == card
    assert [2 + count for count in card.vocabulary_values.values()] == list(dataset.schema.table_sizes)
