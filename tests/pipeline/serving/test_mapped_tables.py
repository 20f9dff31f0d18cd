"""Tables in files: an export that needs no memory for them, and a server that maps them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.exported import open_export
from pipeline.run.files import sha256
from pipeline.serving.exported_model import one_matrix
from pipeline.serving.mapped_tables import TABLES_FILE, scratch_tables, scratch_tensor, side_by_side, write_tables
from pipeline.serving.names import ExportFiles, TablePrecision
from pipeline.serving.precision import with_precision
from pipeline.serving.served_model import load_served
from tests.pipeline.evaluation.conftest import made, write_export
from tests.pipeline.serving.test_precision import inputs, model_of

assert made, "the fixture of the exports is this file's too"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.sampled_from([1, 2, 3]))
def test_tables_in_one_file_are_one_matrix(sizes: list[int], width: int) -> None:
    """Filled table by table they are the matrix, without a copy; copies of them are put together to the same one."""
    tables = scratch_tables({str(n): (rows, 2 * width) for n, rows in enumerate(sizes)}, Path("/tmp"))
    for table in tables.values():
        table.copy_(torch.rand(table.shape))
    copies = [table.clone() for table in tables.values()]
    expected = torch.cat([table.reshape(-1, width) for table in copies])
    found = side_by_side(list(tables.values()), width)
    if not sum(sizes):
        assert found is None and one_matrix([copies], width, None).shape == (0, width)
        return
    assert found is not None and torch.equal(found, expected)
    assert found.data_ptr() == next(t for t in tables.values() if t.numel()).data_ptr()
    assert torch.equal(one_matrix([list(tables.values())], width, None), expected)
    assert torch.equal(one_matrix([copies], width, None), expected)
    both = one_matrix([copies, copies], width, Path("/tmp"))
    assert torch.equal(both, torch.cat([expected, expected], dim=1))


def test_a_file_without_a_name(tmp_path: Path) -> None:
    """It starts at zero and leaves nothing in the folder; a disk without room is an error."""
    found = scratch_tensor(1_000, 4, tmp_path)
    assert found.shape == (1_000, 4) and not found.any() and list(tmp_path.iterdir()) == []
    with pytest.raises(OSError):
        scratch_tensor(1 << 45, 1, tmp_path)
    write_tables(torch.arange(6.0).view(3, 2), tmp_path / "t")
    assert numpy.fromfile(tmp_path / "t", "f4").tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("tables", ["fp32", "int8", "int4"])
def test_mapped_is_what_was_written(tmp_path: Path, tables: TablePrecision) -> None:
    """A scripted model whose numbers are mapped gives what it gave with them; without them it says what to do, and with
    a file that is too short it does not go on."""
    model = with_precision(model_of("dlrm", 2), tables, "fp32")
    model.matrix_shape = list(model.embeddings.shape)
    scripted: Any = torch.jit.script(model)
    expected = scripted.logit(*inputs())
    write_tables(model.embeddings, tmp_path / TABLES_FILE)
    scripted.embeddings = scripted.embeddings[:0]
    with pytest.raises(torch.jit.Error, match=r"call map_tables with the path of model\.tables first"):
        scripted(*inputs())
    scripted.map_tables(str(tmp_path / TABLES_FILE))
    assert torch.equal(scripted.logit(*inputs()), expected)
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(RuntimeError):
        scripted.map_tables(str(tmp_path / "short"))


@pytest.mark.slow
def test_an_export_with_mapped_tables(made: Any, tmp_path: Path) -> None:
    """model.pt without tables and model.tables give what model.pt with them gives, served and evaluated; exported
    plainly again the file goes. With the tables of another model it is one clear error."""
    whole, mapped = made("hash"), tmp_path / "mapped"
    mapped.mkdir()
    write_export(mapped, whole.dataset, ExportFiles(mapped=True))
    (batch,) = whole.dataset.stream("test", 10_000, drop_last=False)
    dense, ids = batch.dense.contiguous().numpy(), batch.ids.contiguous().numpy()
    expected = load_served(whole.folder / "model.json").score(dense, ids)
    assert numpy.array_equal(load_served(mapped / "model.json").score(dense, ids), expected)
    found = open_export(str(mapped)).logits(batch.dense, batch.ids).numpy()
    numpy.testing.assert_allclose(found, expected[1], rtol=1e-5, atol=1e-6)  # frozen and not, kernels differ
    described = json.loads((mapped / "model.json").read_text())["inputs"][1]["tables_file"]
    assert (described["file"], described["sha256"]) == (TABLES_FILE, sha256(mapped / TABLES_FILE))
    sizes = [(folder / "model.pt").stat().st_size for folder in (whole.folder, mapped)]
    assert sizes[0] - sizes[1] > 0.9 * described["bytes"] == 0.9 * (mapped / TABLES_FILE).stat().st_size
    shutil.copytree(mapped, tmp_path / "broken")
    (tmp_path / "broken" / TABLES_FILE).write_bytes(b"short")
    with pytest.raises(ValueError, match=r"model\.tables is not the file that"):
        load_served(tmp_path / "broken" / "model.json")
    write_export(mapped, whole.dataset)
    assert not (mapped / TABLES_FILE).exists()


LIMITED = """
import json, resource, sys, torch
from pathlib import Path
from modules.space import InputShape
from modules.space.handmade import handmade
from modules.supernet import Subnet
from pipeline.serving.mapped_tables import scratch_tables
from pipeline.serving.exported_model import ExportedModel, TrainedParts
from pipeline.serving.torchscript_model import _script_apart, _write_checked
from pipeline.serving.names import ExportFiles
from pipeline.serving import torchscript_model
torchscript_model.check_file = lambda *arguments: None
shape = InputShape(2, 1, 16)
network = Subnet(handmade("dlrm", shape), shape, torch.Generator().manual_seed(0))
folder = Path(sys.argv[1])
free = 64 << 20  # bytes of memory of its own that the process may still take: a quarter of the table
own = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (own + free, own + free))
rows = (256 << 20) // 64
tables = scratch_tables({"t": (rows, 16)}, folder)
for number, part in enumerate(tables["t"].split(1 << 14)):
    part.fill_(float(number))
model = ExportedModel([TrainedParts(tables, network)], 2, folder=folder).eval().requires_grad_(False)
for mapped in (False, True):
    target, files = folder / ("model.pt" if mapped else "whole.pt"), ExportFiles(mapped=mapped)
    _write_checked(_script_apart(model, target, mapped), model, target, files, model, None)
print(json.dumps(model.logit(torch.ones(2, 2), torch.tensor([[0], [rows - 1]])).tolist()))
"""


@pytest.mark.slow
def test_an_export_needs_no_memory_for_its_tables(tmp_path: Path) -> None:
    """A table of 256 MB is filled, joined and written, in model.pt and beside it, by a process that may take 64 MB more
    memory of its own; both files give what that process had."""
    command = [sys.executable, "-W", "ignore", "-c", LIMITED, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    expected = json.loads(ended.stdout.splitlines()[-1])
    assert (tmp_path / "whole.pt").stat().st_size > 256 << 20 > (tmp_path / "model.pt").stat().st_size
    mapped = torch.jit.load(str(tmp_path / "model.pt"))
    mapped.map_tables(str(tmp_path / TABLES_FILE))
    for loaded in (mapped, torch.jit.load(str(tmp_path / "whole.pt"))):
        found = loaded.logit(torch.ones(2, 2), torch.tensor([[0], [(4 << 20) - 1]]))
        assert found.tolist() == pytest.approx(expected, rel=1e-6) and expected[0] != expected[1]
