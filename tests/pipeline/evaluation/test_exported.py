"""pipeline/evaluation/exported.py: an export is read back whole, or the error says what is wrong with it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from pipeline.evaluation.exported import Exported, open_export
from pipeline.run.files import sha256
from pipeline.serving.raw_rows import RawRows
from tests.pipeline.evaluation.conftest import Made, small_export

Making = Callable[[str], Made]
pytestmark = pytest.mark.slow


@pytest.fixture
def copied(made: Making, tmp_path: Path) -> Path:
    """A copy of the files of an export with vocabularies, to change."""
    for name in ("model.pt", "model.json", "vocabulary.bin"):
        shutil.copy(made("vocabulary").folder / name, tmp_path)
    return tmp_path


def change(folder: Path, **fields: Any) -> None:
    """Other fields in model.json."""
    document = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**document, **fields}))


def test_the_folder_or_the_file(made: Making) -> None:
    """Either is given; the schema has the sizes that values are numbered into, and the lookups give serving's rows."""
    for numbering in ("hash", "vocabulary"):
        export, other = open_export(str(made(numbering).folder)), open_export(str(made(numbering).model))
        assert export.card == other.card and export.path == other.path == made(numbering).model
        assert export.schema.table_sizes == tuple(export.card.numbering["table_sizes"].values())
        assert set(export.vocabularies) == set(export.card.numbering.get("vocabulary_files", {}))
        assert bool(export.vocabularies) == (numbering == "vocabulary")
        encoder = RawRows.load(made(numbering).folder / "model.json")
        for column, lookup in export.lookups.items():
            values = [*made(numbering).test[column].to_pylist()[:50], "never seen"]
            found = lookup(pa.array(values, pa.string())).tolist()
            assert found == [encoder._table_row(column, value) for value in values] and found[-1] == 1


def test_newer_rows_need_no_time(copied: Path) -> None:
    """The model of a log with a timestamp is judged on logs without one."""
    schema = json.loads((copied / "model.json").read_text())["schema"]
    change(copied, schema={**schema, "timestamp": "logged_at", "columns": [*schema["columns"], "logged_at"]})
    assert open_export(str(copied)).schema.timestamp == ""


def test_logits(made: Making) -> None:
    """The logits are those of the probabilities; an answer that is not finite is refused."""
    export = open_export(str(made("hash").folder))
    generator = torch.Generator().manual_seed(0)
    ids = torch.stack([torch.randint(rows, (64,), generator=generator) for rows in export.table_rows], 1)
    dense = torch.rand(64, export.schema.dense_width, generator=generator)
    expected = torch.jit.load(str(made("hash").model))(dense, ids)
    torch.testing.assert_close(export.logits(dense, ids).sigmoid(), expected, rtol=1e-6, atol=1e-7)
    assert export.logits(dense, ids).std() > 0.1
    with pytest.raises(ValueError, match="answers a row with what is no finite number"):
        export.logits(torch.full_like(dense, torch.nan), ids)
    with pytest.raises(ValueError, match=r"model\.pt refuses rows as model\.json describes them \(.*table t_cat_0 has"):
        export.logits(dense, ids + 10**6)


class Old(nn.Module):
    """A model as it was exported before it had logits: its answer is what it is given."""

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """[B]."""
        return dense[:, 0]


def test_an_export_that_gives_probabilities_only(copied: Path) -> None:
    """Their logits are taken, finite at 0 and 1 too; an answer outside is refused."""
    torch.jit.save(torch.jit.script(Old()), str(copied / "model.pt"))
    document = json.loads((copied / "model.json").read_text())
    change(copied, model={**document["model"], "sha256": sha256(copied / "model.pt")})
    export = open_export(str(copied))
    given = torch.tensor([[0.25], [1.0], [0.0], [0.999]])
    found = export.logits(given, torch.zeros(4, 1, dtype=torch.int64))
    assert found[0].item() == pytest.approx(numpy.log(1 / 3)) and found[3].item() == pytest.approx(6.9068, abs=1e-3)
    assert 16 < found[1].item() < 18 and -90 < found[2].item() < -80
    with pytest.raises(ValueError, match="answers with what is no probability"):
        export.logits(given + 0.5, torch.zeros(4, 1, dtype=torch.int64))


@pytest.mark.parametrize("name", ["model.pt", "model.json", "vocabulary.bin"])
def test_a_file_that_is_gone_or_another(copied: Path, name: str) -> None:
    """The error names it."""
    contents = (copied / name).read_bytes()
    (copied / name).write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
    with pytest.raises(ValueError, match=re.escape(str(copied))):
        open_export(str(copied))
    (copied / name).unlink()
    with pytest.raises(ValueError, match=re.escape(f"{copied / name} does not exist")):
        open_export(str(copied / "model.pt"))


def test_what_is_no_model(copied: Path) -> None:
    """A file that model.json describes, but that torch cannot load, is refused by name."""
    (copied / "model.pt").write_bytes(b"no model")
    document = json.loads((copied / "model.json").read_text())
    change(copied, model={**document["model"], "sha256": sha256(copied / "model.pt")})
    with pytest.raises(ValueError, match=r"model\.pt: not a TorchScript model"):
        open_export(str(copied))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2}, r"model\.json has format 2, this version evaluates exports of 4; export the model again"),
        ({"format": None}, r"has format None"),
        ({"seeds": "none"}, r"field 'seeds': found \"none\", expected a list"),
        ({"raw_rows": None}, r"describes those of \[\]"),
        ({"inputs": [{}]}, "sizes of the tables cannot be read"),
        ({"inputs": [{}, {"table_rows": [3]}]}, "found 1 tables for 26 categories"),
        ({"schema": {"label": "y"}}, r"field 'schema': the keys .* are missing"),
    ],
)
def test_a_card_that_is_not_right(copied: Path, fields: dict[str, Any], message: str) -> None:
    """Another format, a field of another type, a card without what serving needs: the error says which."""
    change(copied, **fields)
    with pytest.raises(ValueError, match=message):
        open_export(str(copied))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"kind": "alphabet"}, r"field 'numbering' has other rules \(kind\)"),
        ({"integer": "x"}, r"other rules \(integer\)"),
        ({"unknown_category_row": 2}, r"other rules \(unknown_category_row\)"),
        ({"table_sizes": {}}, "sizes of the tables cannot be read"),
    ],
)
def test_rules_of_another_version(copied: Path, rule: dict[str, Any], message: str) -> None:
    """Values would be numbered otherwise than serving numbers them: refused."""
    change(copied, numbering={**json.loads((copied / "model.json").read_text())["numbering"], **rule})
    with pytest.raises(ValueError, match=message):
        open_export(str(copied))


def test_small_exports_of_the_other_tests_are_exports() -> None:
    """Their network answers as an export's does."""
    export: Exported = small_export()
    assert export.logits(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.int64)).tolist() == pytest.approx([0.45] * 2)
