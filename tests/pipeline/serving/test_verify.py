"""pipeline/serving/verify.py: a file that answers otherwise than the trained model is refused."""

from pathlib import Path

import pytest
import torch

from pipeline.data import DataConfig, open_dataset
from pipeline.serving.exported_model import ExportedModel
from pipeline.serving.names import ExportFiles, TablePrecision
from pipeline.serving.precision import with_precision
from pipeline.serving.verify import LabelledRows, check_file, random_rows, rows_of_the_test_split, tolerance_of
from pipeline.training.metrics import Evaluation
from tests.pipeline.serving.test_precision import inputs, model_of


def saved(model: ExportedModel, folder: Path) -> Path:
    """The model as TorchScript."""
    torch.jit.save(torch.jit.script(model), folder / "model.pt")
    return folder / "model.pt"


def labelled(model: ExportedModel) -> LabelledRows:
    """Rows whose labels the model predicts better than chance."""
    dense, ids = inputs()
    return LabelledRows(dense, ids, (model(dense, ids) > model(dense, ids).median()).float())


@pytest.mark.slow
def test_what_a_file_differs_by(tmp_path: Path) -> None:
    """The record has the rows, the largest difference, and what log loss and AUC differ by; 0 for the model itself."""
    model = model_of()
    rows = labelled(model)
    same = check_file(saved(model, tmp_path), "torchscript", ExportFiles(), model, rows)
    assert (same.rows, same.tolerance) == (300, 1e-6) and same.difference < 1e-6
    assert abs(same.log_loss_difference) < 1e-6 and abs(same.auc_difference) < 1e-4
    narrowed = with_precision(model, "int4", "fp32")
    found = check_file(saved(narrowed, tmp_path), "torchscript", ExportFiles("int4"), model, rows)
    difference = (narrowed(rows.dense, rows.ids) - model(rows.dense, rows.ids)).abs().max()
    assert found.difference == pytest.approx(float(difference), abs=1e-6)
    evaluations = [Evaluation(), Evaluation()]
    for one, evaluation in zip((narrowed, model), evaluations, strict=True):
        evaluation.add(one.logit(rows.dense, rows.ids), rows.label)
    small, large = (evaluation.own_metrics() for evaluation in evaluations)
    assert found.log_loss_difference == pytest.approx(small.log_loss - large.log_loss, abs=1e-6)
    assert found.auc_difference == pytest.approx(small.auc - large.auc, abs=1e-4)


@pytest.mark.slow
def test_another_model_is_refused(tmp_path: Path) -> None:
    """A file of other weights, and one in less precision than is said of it, are errors with the difference."""
    model = model_of()
    for other in (model_of("open"), with_precision(model, "int4", "fp32")):
        with pytest.raises(RuntimeError, match=r"probabilities differ by 0\.\d+ from .*nothing was written"):
            check_file(saved(other, tmp_path), "torchscript", ExportFiles(), model, labelled(model))


@pytest.mark.slow
def test_without_test_rows(tmp_path: Path) -> None:
    """Made-up rows are compared; there are no losses to compare."""
    model = model_of()
    found = check_file(saved(model, tmp_path), "torchscript", ExportFiles(), model, None)
    assert (found.rows, found.log_loss_difference, found.auc_difference) == (0, 0.0, None)


def test_random_rows_reach_both_ends() -> None:
    """Each table's first and last row are among them, and none beyond."""
    model = model_of()
    _, ids = random_rows(model)
    assert ids.amin(0).tolist() == [0, 0, 0, 0] and (ids.amax(0) + 1).tolist() == model.table_rows.tolist()


def test_rows_of_the_test_split(tmp_path: Path) -> None:
    """They are the split's, in its order."""
    dataset = open_dataset(DataConfig(rows=2_000), str(tmp_path / "data"))
    found = rows_of_the_test_split(dataset)
    with dataset.stream("test", 50, drop_last=False) as stream:
        batches = [(batch.ids.clone(), batch.label.clone()) for batch in stream]
    assert torch.equal(found.ids, torch.cat([ids for ids, _ in batches]))
    assert torch.equal(found.label, torch.cat([label for _, label in batches]))
    assert len(found.dense) == dataset.rows("test")


@pytest.mark.parametrize(("tables", "least"), [("fp32", 0.0), ("int8", 1e-3), ("int4", 1e-2)])
def test_less_precision_is_allowed_more(tables: TablePrecision, least: float) -> None:
    """Tolerances grow with what is rounded away, and add up."""
    assert least < tolerance_of(ExportFiles(tables)) < tolerance_of(ExportFiles(tables, "bf16"))
