"""pipeline/serving/rebuilt.py: from its files alone an export is the module that it was."""

import dataclasses
from pathlib import Path

import pytest
import torch

from modules.integers import Standardization
from modules.operators import InputShape
from modules.space.handmade import handmade
from modules.supernet import OwnWeights, Subnet
from pipeline.data.numbering import numbering
from pipeline.serving.exported_model import TrainedParts
from pipeline.serving.names import ExportFiles, TablePrecision
from pipeline.serving.rebuilt import rebuilt
from pipeline.serving.torchscript_model import write_model
from tests.pipeline.evaluation.conftest import SCHEMA
from tests.pipeline.serving.test_torchscript_model import PROVENANCE

WIDE = InputShape(SCHEMA.dense_width, SCHEMA.num_categories, 8)
UNEQUAL = dataclasses.replace(WIDE, table_widths=(4, 8, 4))


def written(folder: Path, shape: InputShape = WIDE, layer_norm: bool = True, tables: TablePrecision = "fp32") -> Path:
    """An export of two trainings with standardized integers."""
    architecture, parts = handmade("dlrm", shape), []
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        integers = Standardization(torch.rand(shape.integers), 1 + torch.rand(shape.integers))
        network = Subnet(architecture, shape, weights=OwnWeights(generator, layer_norm), integers=integers)
        sizes = zip(SCHEMA.table_names, SCHEMA.table_sizes, shape.widths, strict=True)
        own = {name: torch.randn(rows, width, generator=generator) for name, rows, width in sizes}
        parts.append(TrainedParts(own, network))
    recipe = dataclasses.replace(PROVENANCE.recipe, embedding_width=8, table_widths=shape.table_widths)
    provenance = dataclasses.replace(
        PROVENANCE, architecture=architecture, recipe=recipe, seeds=(0, 1), numbering=numbering(SCHEMA, None, "")
    )
    write_model(parts, SCHEMA.to_json(), provenance, folder / "model.pt", wanted=ExportFiles(tables))
    return folder / "model.pt"


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "layer_norm"), [(WIDE, True), (WIDE, False), (UNEQUAL, True)])
def test_the_same_module(shape: InputShape, layer_norm: bool, tmp_path: Path) -> None:
    """It gives what model.pt gives, an average of two, whatever its layers and widths are."""
    path = written(tmp_path, shape, layer_norm)
    generator = torch.Generator().manual_seed(6)
    ids = torch.stack([torch.randint(rows, (500,), generator=generator) for rows in SCHEMA.table_sizes], 1)
    dense = 4 * torch.rand(500, shape.integers, generator=generator)
    expected, model = torch.jit.load(str(path)).logit(dense, ids), rebuilt(str(tmp_path))
    assert expected.std() > 1e-3
    torch.testing.assert_close(model.logit(dense, ids), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_smaller_export_is_refused(tmp_path: Path) -> None:
    """What was rounded away is not there to be measured with."""
    with pytest.raises(ValueError, match=r"model\.pt is not in fp32; export the model again without --export\.tables"):
        rebuilt(str(written(tmp_path, tables="int8")))
