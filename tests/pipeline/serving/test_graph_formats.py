"""pipeline/serving/graph_formats.py: a graph gives what the exported model gives, and NaN where that raises."""

from pathlib import Path

import numpy
import onnxruntime
import pytest
import torch

from pipeline.serving.graph_formats import GraphModel, check_compiler, graph_file, taken_apart
from pipeline.serving.names import DensePrecision, TablePrecision
from pipeline.serving.precision import BITS, quantized, with_precision
from tests.pipeline.serving.test_precision import ARCHITECTURES, inputs, model_of

BATCHES = (1, 2, 7, 300)
PRECISIONS: list[tuple[TablePrecision, DensePrecision]] = [
    ("fp32", "fp32"),
    ("int8", "fp32"),
    ("int4", "fp32"),
    ("int8", "bf16"),
]


@pytest.mark.parametrize(("tables", "dense"), PRECISIONS)
@pytest.mark.parametrize("trainings", [1, 3])
def test_the_same_as_the_model(tables: TablePrecision, dense: DensePrecision, trainings: int) -> None:
    """Logits to rounding, of one training and of several; the probability is the logit's sigmoid."""
    model = with_precision(model_of("dlrm", trainings), tables, dense)
    probability, logit = GraphModel(model).eval()(*inputs())
    torch.testing.assert_close(logit, model.logit(*inputs()), rtol=0, atol=2e-6 if dense == "fp32" else 2e-2)
    assert torch.equal(probability, logit.sigmoid())


@pytest.mark.parametrize(("row", "field", "value"), [(0, 0, 50), (3, 1, -1), (1, 3, 2**40), (2, 0, -(2**63))])
def test_an_id_outside_its_table(row: int, field: int, value: int) -> None:
    """Its row, and no other, is NaN."""
    dense, ids = inputs(5)
    ids[row, field] = value
    for one in GraphModel(model_of()).eval()(dense, ids):
        assert one.isnan().nonzero().flatten().tolist() == [row]


@pytest.mark.parametrize("tables", ["fp32", "int8"])
def test_lists(tables: TablePrecision) -> None:
    """A list's vectors are averaged as the model averages them; an id below -1 in a list is NaN, and -1 in a field
    that is none."""
    model = with_precision(model_of("dlrm", 2, (1, 3, 1, 2)), tables, "fp32")
    dense, _ = inputs(200)
    generator = torch.Generator().manual_seed(3)
    sizes = model.table_rows[model.id_fields]
    ids = (torch.rand(200, len(sizes), generator=generator) * sizes).long()
    ids = torch.where((torch.rand(ids.shape, generator=generator) < 0.5) & (model.lowest_ids < 0), -1, ids)
    graph = GraphModel(model).eval()
    torch.testing.assert_close(graph(dense, ids)[1], model.logit(dense, ids), rtol=0, atol=2e-6)
    ids[5, 2], ids[9, 0] = -2, -1
    assert graph(dense, ids)[1].isnan().nonzero().flatten().tolist() == [5, 9]


@pytest.mark.parametrize("tables", ["int8", "int4"])
def test_taken_apart(tables: TablePrecision) -> None:
    """Codes times scale plus bias are what FBGEMM makes of the quantized row."""
    rows = quantized(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), tables)
    codes, ranges = taken_apart(rows, 8, BITS[tables])
    if tables == "int4":
        codes = torch.stack([codes & 15, codes >> 4], -1).flatten(1)
        expected = torch.ops.quantized.embedding_bag_4bit_unpack(rows)
    else:
        expected = torch.ops.quantized.embedding_bag_byte_unpack(rows)
    torch.testing.assert_close(codes * ranges.float()[:, :1] + ranges.float()[:, 1:], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_operator_exports(name: str) -> None:
    """torch.export takes the graph, and its program gives the model's logits for batches of any size."""
    model = model_of(name, 1)
    batch = torch.export.Dim("batch", min=1, max=2**20)
    with torch.no_grad():
        program = torch.export.export(
            GraphModel(model).eval(), inputs(3), dynamic_shapes=({0: batch}, {0: batch})
        ).module()
    for rows in BATCHES:
        torch.testing.assert_close(
            program(*inputs(rows))[1], model.logit(*inputs(rows)), rtol=0, atol=1e-5, msg=f"{name}, {rows} rows"
        )


@pytest.mark.slow
@pytest.mark.parametrize("tables", ["fp32", "int4"])
def test_onnx(tables: TablePrecision, tmp_path: Path) -> None:
    """ONNX Runtime gives the model's probabilities and logits for batches of any size; nothing is left behind."""
    model = with_precision(model_of(), tables, "fp32")
    with graph_file(model, tmp_path, "onnx") as path:
        session = onnxruntime.InferenceSession(path)
        for rows in BATCHES:
            dense, ids = inputs(rows)
            probability, logit = session.run(["probability", "logit"], {"dense": dense.numpy(), "ids": ids.numpy()})
            numpy.testing.assert_allclose(logit, model.logit(dense, ids).numpy(), rtol=0, atol=1e-5)
            numpy.testing.assert_allclose(probability, model(dense, ids).numpy(), rtol=0, atol=1e-6)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("tables", ["fp32", "int4"])
def test_pt2(tables: TablePrecision, tmp_path: Path) -> None:
    """AOTInductor's package likewise; a row with an id outside its table is NaN, and the others are as before."""
    model = with_precision(model_of(trainings=1), tables, "fp32")
    with graph_file(model, tmp_path, "pt2") as path:
        run = torch._inductor.aoti_load_package(str(path))
        for rows in BATCHES:
            probability, logit = run(*inputs(rows))
            torch.testing.assert_close(logit, model.logit(*inputs(rows)), rtol=0, atol=1e-5)
            torch.testing.assert_close(probability, model(*inputs(rows)), rtol=0, atol=1e-6)
        dense, ids = inputs(5)
        ids[3, 2] = 2**40
        probability, _ = run(dense, ids)
        assert probability.isnan().tolist() == [False, False, False, True, False]
    assert list(tmp_path.iterdir()) == []


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler pt2 is refused in one line that says what to do; onnx is not."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match="compiles with no-such-compiler, and there is none; install"):
        check_compiler(("onnx", "pt2"))
    check_compiler(("onnx",))
