"""pipeline/serving/served_model.py: the files of an export alone give its probabilities, or one line says why not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch

from pipeline.data import DataConfig, open_dataset
from pipeline.serving.names import ExportFiles
from pipeline.serving.served_model import load_served
from pipeline.serving.server_config import ServedFormat
from tests.pipeline.evaluation.conftest import write_export

FILES = ("model.json", "model.pt", "model.onnx", "vocabulary.bin")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export's files, apart from the run that made them."""
    run, folder = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("export")
    write_export(
        run, open_dataset(DataConfig(rows=2_000, max_table_rows=300), str(run / "data")), ExportFiles(further=("onnx",))
    )
    for name in FILES:
        shutil.copy(run / name, folder / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["auto", "torchscript", "onnx"])
def test_the_exported_examples(export: Path, kind: ServedFormat) -> None:
    """Raw rows become the probabilities that model.json has for them, and the logit is theirs."""
    model = load_served(export / "model.json", kind)
    assert model.format == ("torchscript" if kind == "auto" else kind)
    examples = json.loads((export / "model.json").read_text())["raw_rows"]["examples"]
    encoded = [model.rows.encode(one["row"]) for one in examples]
    dense, ids = numpy.array([one[0] for one in encoded], numpy.float32), numpy.array([one[1] for one in encoded])
    probability, logit = model.score(dense, ids)
    numpy.testing.assert_allclose(probability, [one["probability"] for one in examples], rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.from_numpy(logit).sigmoid(), torch.from_numpy(probability), rtol=0, atol=1e-6)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no card": (lambda folder: (folder / "model.json").unlink(), r"model\.json cannot be read"),
    "no JSON": (lambda folder: (folder / "model.json").write_text("{"), r"model\.json is not JSON"),
    "no object": (lambda folder: (folder / "model.json").write_text("[]"), r"does not say how raw rows are encoded"),
    "another model": (lambda folder: (folder / "model.pt").write_bytes(b"x"), r"model\.pt is not the file that"),
    "no model": (lambda folder: (folder / "model.pt").unlink(), r"model\.pt is not the file that"),
    "another vocabulary": (lambda folder: (folder / "vocabulary.bin").write_bytes(b""), r"vocabulary\.bin is not the"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_belong_together(export: Path, tmp_path: Path, what: str) -> None:
    """It is a ValueError naming the file."""
    folder = tmp_path / "copy"
    shutil.copytree(export, folder)
    change, message = WRONG[what]
    change(folder)
    with pytest.raises(ValueError, match=message):
        load_served(folder / "model.json")


@pytest.mark.slow
def test_a_format_that_was_not_exported(export: Path) -> None:
    """The error has those that were."""
    with pytest.raises(ValueError, match=r"format is 'pt2', and the export has \['torchscript', 'onnx'\]; export it"):
        load_served(export / "model.json", "pt2")
