"""The export of a real run: model.pt answers as the trained model does, where nothing of this project is known."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.embeddings import embed
from modules.space import InputShape
from modules.space.handmade import handmade
from pipeline.data.batch import Batch
from pipeline.data.config import DataConfig
from pipeline.data.dataset import open_dataset
from pipeline.export import chosen_model, export_best, read_unsharded
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.files import sha256
from pipeline.run.processes import join
from pipeline.run.records.model_card import ModelCard
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import Metrics, ModelKind, ModelResult, Results, SplitMetrics
from pipeline.serving.verify import TABLE_TOLERANCE
from pipeline.session import Session, open_session
from pipeline.training.standalone import rebuild, train_standalone

TinyRun = Any
Ranks = Any
ROWS = 10_000
SERVER = """
import sys, torch, fbgemm_gpu
rows = torch.load(sys.argv[2])
probability = torch.jit.load(sys.argv[1])(rows["dense"], rows["ids"])
assert not {"torchrec", "modules", "pipeline"} & set(sys.modules)
torch.save(probability, sys.argv[3])
"""
EXPORT = """
import sys
from pipeline.export import export_best
from pipeline.command_line import run_program
sys.exit(run_program(export_best, "program", sys.argv[1:]))
"""
ENSEMBLE = "--export.ensemble"


def results(session: Session) -> Results:
    """What was trained."""
    return session.read(session.folder.results, Results)


def card(run: TinyRun) -> ModelCard:
    """The run's model.json."""
    with join("cpu") as processes, open_session(run.config, processes) as session:
        return session.read(run.path / "model.json", ModelCard)


@pytest.mark.slow
@pytest.mark.parametrize("option", [(), (ENSEMBLE,)], ids=["one seed", "ensemble"])
def test_ten_thousand_rows_in_a_fresh_process(copied: TinyRun, tmp_path: Path, option: tuple[str, ...]) -> None:
    """On 10,000 generated rows, most never trained on, a process with torch and fbgemm_gpu alone gives the
    probabilities of the trained model (sharded tables from its checkpoint, then the network) within 1e-6: those of the
    best seed, or of the mean of all seeds' logits."""
    assert copied.program(export_best, *option) == 0
    data = open_dataset(DataConfig(rows=ROWS, max_table_rows=60, numbering="hash"), str(tmp_path / "more"))
    logits = []
    with join("cpu") as processes, open_session(copied.config, processes) as session:
        best, sizes = results(session).best_model, torch.tensor(session.dataset.schema.table_sizes)
        batches = [  # those rows are of another log: any ids do
            Batch.of_ids(batch.dense, (batch.ids % sizes).t().contiguous(), batch.label, data.schema.categories)
            for split in ("train", "valid", "test")
            for batch in data.stream(split, 2000, drop_last=False)
        ]
        for seed in range(len(best.seeds)) if option else [best.best_seed]:
            contender = rebuild(session, best, seed)
            tables = train_standalone(contender).trainee.embeddings
            with torch.no_grad():
                logits.append(torch.cat([contender.network(b.dense, embed(tables, b.sparse)) for b in batches]))
    expected = torch.stack(logits).mean(0).sigmoid()
    rows = {"dense": torch.cat([b.dense for b in batches]), "ids": torch.cat([b.ids for b in batches])}
    torch.save(rows, tmp_path / "rows.pt")
    files = [str(copied.path / "model.pt"), str(tmp_path / "rows.pt"), str(tmp_path / "probability.pt")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", "-W", "ignore", "-c", SERVER, *files]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    found = torch.load(files[2])
    assert found.shape == (ROWS,) and found.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


RAW_SERVER = """
import json, sys
import torch
sys.path.insert(0, sys.argv[1])
from raw_rows import RawRows
rows, model = RawRows.load(sys.argv[1] + "/model.json"), torch.jit.load(sys.argv[1] + "/model.pt")
dense, ids, errors = rows.encode_all(json.load(open(sys.argv[2])))
assert not errors and not {"pipeline", "modules", "torchrec", "pyarrow"} & set(sys.modules)
print(json.dumps(model(torch.tensor(dense), torch.tensor(ids)).tolist()))
"""


@pytest.mark.slow
def test_raw_rows_in_a_fresh_process(copied: TinyRun, tmp_path: Path) -> None:
    """A process without this project turns the log's raw test rows into the trained model's probabilities, within 1e-6;
    model.json's examples are the first of them."""
    with join("cpu") as processes, open_session(copied.config, processes) as session:
        raw = session.dataset.raw_rows("test", 1000)
        batches = list(session.dataset.stream("test", 1000, drop_last=False))
    model = torch.jit.load(str(copied.path / "model.pt"))
    expected = torch.cat([model(batch.dense, batch.ids) for batch in batches])[: len(raw)]
    (tmp_path / "rows.json").write_text(json.dumps(raw))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", "-W", "ignore", "-c", RAW_SERVER, str(copied.path), str(tmp_path / "rows.json")]
    printed = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    found = torch.tensor(json.loads(printed))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    described = card(copied).raw_rows
    assert described is not None and [one.row for one in described.examples] == raw[: len(described.examples)]
    torch.testing.assert_close(
        torch.tensor([one.probability for one in described.examples]), found[: len(described.examples)]
    )


@pytest.mark.slow
def test_each_model_is_exported_by_its_name(copied: TinyRun) -> None:
    """Whatever its kind and embedding width, by name or title; an export of another model than the one that is there is
    written anew, of the same one is not; model.json's metrics are those of model.pt on the test rows."""
    with join("cpu") as processes, open_session(copied.config, processes) as session:
        models = results(session).models
        rows = list(session.dataset.stream("test", 4096, drop_last=False))
    assert {model.kind for model in models} == {"searched", "handmade"}
    asked = [(model, name, ()) for model in models for name in (model.name, model.title)]
    for model, name, option in [*asked, (models[-1], models[-1].title, (ENSEMBLE,))]:
        written, is_there = (
            (copied.path / "model.pt").stat().st_mtime_ns,
            card(copied).architecture == model.architecture,
        )
        assert copied.program(export_best, "--export.model", name, *option) == 0
        found = card(copied)
        assert (found.architecture, found.recipe) == (model.architecture, model.recipe)
        assert found.seeds == (tuple(range(len(model.seeds))) if option else (model.best_seed,))
        metrics = model.ensemble if option else model.seeds[model.best_seed]
        assert found.metrics == metrics
        loaded = torch.jit.load(str(copied.path / "model.pt"))
        probability = torch.cat([loaded(batch.dense, batch.ids) for batch in rows]).double()
        log_loss = torch.nn.functional.binary_cross_entropy(probability, torch.cat([b.label for b in rows]).double())
        assert log_loss.item() == pytest.approx(metrics.test.log_loss, rel=1e-5)
        if is_there and not option:
            assert (copied.path / "model.pt").stat().st_mtime_ns == written


def model_named(kind: ModelKind, name: str, title: str, *valid: float) -> ModelResult:
    """A result with these validation log losses, one a seed."""
    seeds = tuple(SplitMetrics(*[Metrics(one, None, None, None, 10)] * 2) for one in valid)
    architecture = handmade("dlrm", InputShape(2, 3, 4))
    counts = {"multiply_accumulates": 1, "parameters": 1, "table_bytes": 1, "lookup_bytes": 1, "trials": 1, "rows": 1}
    return ModelResult(name, kind, title, "", architecture, Recipe(), None, **counts, seeds=seeds, ensemble=seeds[0])


MODELS = (
    model_named("searched", "net_3", "Net 3", 0.5, 0.4, 0.4),
    model_named("given", "dlrm", "Dlrm", 0.3),
    model_named("handmade", "dlrm", "DLRM", 0.6),
)
RESULTS = Results(MODELS, "Dlrm", (), None, 1, 1, 0.5)


def test_names() -> None:
    """A name or title that one model has is that model, kind/name always is; no name is the best, of any kind."""
    assert chosen_model(RESULTS, "") is MODELS[1]
    assert chosen_model(RESULTS, "net_3") is chosen_model(RESULTS, "Net 3") is MODELS[0]
    assert chosen_model(RESULTS, "DLRM") is chosen_model(RESULTS, "handmade/dlrm") is MODELS[2]
    assert chosen_model(RESULTS, "given/dlrm") is MODELS[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dcn", r"'dcn' is no model of results\.json; choose one of searched/net_3 \(Net 3\), given/dlrm \(Dlrm\), ha"),
        ("dlrm", r"'dlrm' is the name of several models; choose one of given/dlrm \(Dlrm\), handmade/dlrm \(DLRM\)$"),
    ],
)
def test_unknown_and_ambiguous_names(name: str, message: str) -> None:
    """They are refused with the names that can be given."""
    with pytest.raises(ValueError, match=message):
        chosen_model(RESULTS, name)


def test_unsharded_tables_are_the_trained_ones(copied: TinyRun) -> None:
    """Read without the ranks that wrote them, tables and dense weights are the checkpoint's, bit for bit."""
    with join("cpu") as processes, open_session(copied.config, processes) as session:
        for model in results(session).models:
            seed = model.best_seed
            trained, read = (rebuild(session, model, seed) for _ in range(2))
            trainee = train_standalone(trained).trainee
            newest = Checkpoints(session.folder.checkpoints(model.stages[seed]), processes).newest()
            assert newest is not None
            tables = read_unsharded(read.session, read.network, newest)
            assert tuple(tables) == tuple(session.dataset.schema.table_names)
            assert {table.shape[1] for table in tables.values()} == {model.recipe.embedding_width}
            for name, table in trainee.embeddings.state_dict().items():
                assert torch.equal(tables[name.split(".")[-2]], table.local_shards()[0].tensor)
            for own, other in zip(trained.network.parameters(), read.network.parameters(), strict=True):
                assert torch.equal(own, other)


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["model.pt", "model.json", "raw_rows.py"])
def test_exported_again_when_the_files_do_not_belong_together(copied: TinyRun, changed: str) -> None:
    """A model.pt that is not the one model.json describes, or a model.json of another training, is exported anew: the
    same bytes."""
    files = ("model.pt", "model.json", "raw_rows.py", "vocabulary.bin")
    expected = {name: (copied.path / name).read_bytes() for name in files if (copied.path / name).exists()}
    if changed != "model.json":
        (copied.path / changed).write_bytes((copied.path / changed).read_bytes()[:-1])
    else:
        card = json.loads(expected[changed])
        (copied.path / changed).write_text(json.dumps({**card, "seeds": [17]}))
    assert copied.program(export_best) == 0
    for name, contents in expected.items():
        assert (copied.path / name).read_bytes() == contents
    assert not list(copied.path.glob("*.tmp-*"))


@pytest.mark.slow
def test_two_ranks_export_the_same(copied: TinyRun, ranks: Ranks) -> None:
    """Rank 0 writes what one process wrote, byte for byte, and no rank waits for another."""
    expected = {name: (copied.path / name).read_bytes() for name in ("model.pt", "model.json")}
    for name in expected:
        (copied.path / name).unlink()
    ranks(2, EXPORT, *copied.arguments)
    assert {name: (copied.path / name).read_bytes() for name in expected} == expected


def test_no_checkpoint_to_export(copied: TinyRun, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a checkpoint of the model there is one line saying so, and no model.pt."""
    (copied.path / "model.pt").unlink()
    with join("cpu") as processes, open_session(copied.config, processes) as session:
        best = results(session).best_model
    stage = best.stages[best.best_seed]
    shutil.rmtree(copied.path / "checkpoints" / stage)
    assert copied.program(export_best) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert f"{stage}: no checkpoint to export; remove {copied.path}/results.json and train" in line
    assert not (copied.path / "model.pt").exists()


FORMATS = {"torchscript": "model.pt", "pt2": "model.pt2", "onnx": "model.onnx"}


@pytest.mark.slow
def test_further_files(copied: TinyRun) -> None:
    """Asked for, model.pt2 and model.onnx lie beside a model.pt of int8 tables: each as model.json describes it, near
    the trained model on the test rows. Asked again nothing is written; one that changed is written anew; those
    that are no longer asked for go, and model.pt is what it was by default, byte for byte."""
    plain = (copied.path / "model.pt").read_bytes()
    wanted = ("--export.tables", "int8", "--export.formats", "pt2", "onnx")
    assert copied.program(export_best, *wanted) == 0
    files = {one.format: one for one in card(copied).files}
    assert {kind: one.file for kind, one in files.items()} == FORMATS
    for one in files.values():
        path = copied.path / one.file
        assert (one.sha256, one.bytes, one.tables, one.dense) == (sha256(path), path.stat().st_size, "int8", "fp32")
        assert one.check.rows > 50 and 1e-7 < one.check.difference < one.check.tolerance
    assert len({round(one.check.log_loss_difference, 6) for one in files.values()}) == 1  # the same model three times
    written = {name: (copied.path / name).stat().st_mtime_ns for name in FORMATS.values()}
    assert copied.program(export_best, *wanted) == 0
    assert written == {name: (copied.path / name).stat().st_mtime_ns for name in FORMATS.values()}
    (copied.path / "model.onnx").write_bytes(b"")
    assert copied.program(export_best, "--export.tables", "int8", "--export.formats", "onnx") == 0
    (torchscript, onnx) = card(copied).files
    assert onnx.sha256 == sha256(copied.path / "model.onnx") and torchscript.file == "model.pt"
    assert not (copied.path / "model.pt2").exists()
    assert copied.program(export_best) == 0
    assert not (copied.path / "model.onnx").exists() and (copied.path / "model.pt").read_bytes() == plain
    assert not list(copied.path.glob("*.tmp-*"))


@pytest.mark.slow
def test_a_file_that_differs_is_not_exported(copied: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rounding moves a probability by more than is allowed, export fails and everything stays as it was."""
    before = {path.name: path.read_bytes() for path in copied.path.glob("model.*")}
    monkeypatch.setitem(TABLE_TOLERANCE, "int4", 1e-5)
    with pytest.raises(RuntimeError, match=r"probabilities differ by 0\.\d+ from .*up to 1e-05 is allowed"):
        copied.program(export_best, "--export.tables", "int4")
    assert {path.name: path.read_bytes() for path in copied.path.glob("model.*")} == before
