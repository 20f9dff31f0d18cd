"""The export of a real run: model.pt answers as the trained model does, where nothing of this project is known."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.embeddings import embed
from pipeline.data.batch import Batch
from pipeline.data.config import DataConfig
from pipeline.data.dataset import open_dataset
from pipeline.export import export_best, read_unsharded
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.processes import join
from pipeline.run.records.results import Results
from pipeline.session import open_session
from pipeline.training.standalone import rebuild, train_standalone

TinyRun = Any
ROWS = 10_000
SERVER = """
import sys, torch, fbgemm_gpu
rows = torch.load(sys.argv[2])
probability = torch.jit.load(sys.argv[1])(rows["dense"], rows["ids"])
assert not {"torchrec", "modules", "pipeline"} & set(sys.modules)
torch.save(probability, sys.argv[3])
"""


@pytest.mark.slow
def test_ten_thousand_rows_in_a_fresh_process(copied: TinyRun, tmp_path: Path) -> None:
    """On 10,000 generated rows, most never trained on, a process with torch and fbgemm_gpu alone gives the
    probabilities of the trained model (sharded tables from its checkpoint, then the network) within 1e-6."""
    data = open_dataset(DataConfig(rows=ROWS, max_table_rows=60, numbering="hash"), str(tmp_path / "more"))
    with join("cpu") as processes, open_session(copied.config, processes) as session, torch.no_grad():
        contender = rebuild(session, session.read(session.folder.results, Results).best_model)
        with torch.enable_grad():
            tables = train_standalone(session, contender).trainee.embeddings
        sizes = torch.tensor(session.dataset.schema.table_sizes)  # those rows are of another log: any ids do
        batches = [
            Batch.of_ids(batch.dense, (batch.ids % sizes).t().contiguous(), batch.label, data.schema.categories)
            for split in ("train", "valid", "test")
            for batch in data.stream(split, 2000, drop_last=False)
        ]
        expected = torch.cat([contender.network(b.dense, embed(tables, b.sparse)).sigmoid() for b in batches])
    rows = {"dense": torch.cat([b.dense for b in batches]), "ids": torch.cat([b.ids for b in batches])}
    torch.save(rows, tmp_path / "rows.pt")
    files = [str(copied.path / "model.pt"), str(tmp_path / "rows.pt"), str(tmp_path / "probability.pt")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", "-W", "ignore", "-c", SERVER, *files]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    found = torch.load(files[2])
    assert found.shape == (ROWS,) and found.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_unsharded_tables_are_the_trained_ones(copied: TinyRun) -> None:
    """Read without the ranks that wrote them, tables and dense weights are the checkpoint's, bit for bit."""
    with join("cpu") as processes, open_session(copied.config, processes) as session:
        best = session.read(session.folder.results, Results).best_model
        trained, read = (rebuild(session, best) for _ in range(2))
        trainee = train_standalone(session, trained).trainee
        newest = Checkpoints(session.folder.checkpoints(best.stage), processes).newest()
        assert newest is not None
        tables = read_unsharded(session, read.network, newest)
        assert tuple(tables) == tuple(session.dataset.schema.table_names)
        for name, table in trainee.embeddings.state_dict().items():
            assert torch.equal(tables[name.split(".")[-2]], table.local_shards()[0].tensor)
        for own, other in zip(trained.network.parameters(), read.network.parameters(), strict=True):
            assert torch.equal(own, other)


@pytest.mark.slow
def test_exported_again_when_the_files_do_not_belong_together(copied: TinyRun) -> None:
    """A model.pt that is not the one model.json describes is exported anew: the same bytes."""
    expected = (copied.path / "model.pt").read_bytes()
    (copied.path / "model.pt").write_bytes(expected[:-1])
    assert copied.program(export_best) == 0
    assert (copied.path / "model.pt").read_bytes() == expected
    assert not list(copied.path.glob("*.tmp-*"))


def test_no_checkpoint_to_export(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """Without the winner's checkpoint there is one line saying so, and no model.pt."""
    (copied.path / "model.pt").unlink()
    shutil.rmtree(copied.path / "checkpoints" / "retrain" / "winner" / "winner_1")
    assert copied.program(export_best) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert f"winner_1: no checkpoint to export; remove {copied.path}/results.json and retrain" in line
    assert not (copied.path / "model.pt").exists()
